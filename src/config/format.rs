//! Values in the format of the configuration file.

use super::{Kind, Setting};
use crate::units::show_bytes;

/// The value of a setting as the file writes it.
pub(super) fn show(setting: &Setting, value: &toml::Value) -> String {
    match (setting.kind, value.as_integer()) {
        (Kind::Bytes { .. }, Some(bytes)) => {
            let text = show_bytes(bytes.unsigned_abs());
            if text.contains(' ') { format!("{text:?}") } else { text }
        }
        _ => value.to_string(),
    }
}

/// Serde: an address, or `off`.
pub(super) mod address_or_off {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str("off"),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "off" => Ok(None),
            text => text.parse().map(Some).map_err(D::Error::custom),
        }
    }
}
