//! Serde modules for the columns of remembered batches. Columns of numbers are written as their bytes in memory, so that each costs one
//! copy.

/// A column of numbers as little-endian bytes.
pub(crate) mod column {
    use bytemuck::Pod;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Bytes in memory order can be read on every machine only if all are little-endian.
    #[cfg(target_endian = "big")]
    compile_error!("columns are written in the byte order of the machine, which must be little-endian");

    pub(crate) fn serialize<T: Pod, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytemuck::cast_slice(values))
    }

    pub(crate) fn deserialize<'de, T: Pod, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        if bytes.len() % size_of::<T>() != 0 {
            return Err(D::Error::custom(
                "the length of a column is not a multiple of the size of its numbers",
            ));
        }
        Ok(bytemuck::pod_collect_to_vec(bytes))
    }
}

/// As [`column`], for a column that may be absent.
pub(crate) mod optional_column {
    use bytemuck::Pod;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Pod, S: Serializer>(
        values: &Option<Vec<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        struct Column<'a, T>(&'a [T]);
        impl<T: Pod> Serialize for Column<'_, T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                super::column::serialize(self.0, serializer)
            }
        }
        values.as_deref().map(Column).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Pod, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<T>>, D::Error> {
        struct Column<T>(Vec<T>);
        impl<'de, T: Pod> Deserialize<'de> for Column<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::column::deserialize(deserializer).map(Self)
            }
        }
        Ok(Option::<Column<T>>::deserialize(deserializer)?.map(|column| column.0))
    }
}

/// A column of sources, one byte each.
pub(crate) mod sources {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use hardneg_partition::Source;

    pub(crate) fn serialize<S: Serializer>(sources: &[Source], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(sources.iter().map(|source| *source == Source::Background))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Source>, D::Error> {
        let source = |from_background| if from_background { Source::Background } else { Source::Hard };
        Ok(Vec::<bool>::deserialize(deserializer)?.into_iter().map(source).collect())
    }
}

/// A shared string.
pub(crate) mod text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::sync::Arc;

    pub(crate) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        <&str>::deserialize(deserializer).map(Arc::from)
    }
}

/// A column of shared strings.
pub(crate) mod texts {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::sync::Arc;

    pub(crate) fn serialize<S: Serializer>(texts: &[Arc<str>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(texts.iter().map(AsRef::as_ref as fn(&Arc<str>) -> &str))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<str>>, D::Error> {
        Ok(Vec::<&str>::deserialize(deserializer)?.into_iter().map(Arc::from).collect())
    }
}

/// As [`texts`], for a column that may be absent.
pub(crate) mod optional_texts {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use std::sync::Arc;

    pub(crate) fn serialize<S: Serializer>(
        texts: &Option<Vec<Arc<str>>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let texts = texts.as_ref().map(|texts| texts.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
        texts.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<Arc<str>>>, D::Error> {
        let texts = Option::<Vec<&str>>::deserialize(deserializer)?;
        Ok(texts.map(|texts| texts.into_iter().map(Arc::from).collect()))
    }
}

/// A column of byte strings.
pub(crate) mod byte_strings {
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize, Serializer};

    struct ByteString<'a>(&'a [u8]);

    impl Serialize for ByteString<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    pub(crate) fn serialize<S: Serializer>(strings: &[Bytes], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(strings.iter().map(|string| ByteString(string)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
        Ok(Vec::<&[u8]>::deserialize(deserializer)?.into_iter().map(Bytes::copy_from_slice).collect())
    }
}
