//! The name of the training run that this process is part of.

/// The run id from torchrun's environment variables: `TORCHELASTIC_RUN_ID` and `TORCHELASTIC_RESTART_COUNT`, joined as `id.restart`. It is
/// the same in all processes of one launch, and changes with each restart.
///
/// `None` if the variables are not set, if the launch has no id of its own (without `--rdzv-id` or `--standalone` torchrun calls every
/// launch `none`), or if processes could disagree: with several nodes (`GROUP_WORLD_SIZE`) and restarts
/// (`TORCHELASTIC_MAX_RESTARTS`) each node counts its own restarts. In these cases agree on an id and pass it.
#[must_use]
pub fn run_id_from_env() -> Option<String> {
    run_id_of(|name| std::env::var(name).ok())
}

fn run_id_of(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let id = variable("TORCHELASTIC_RUN_ID").filter(|id| !id.is_empty() && id != "none")?;
    let restart = variable("TORCHELASTIC_RESTART_COUNT")?;
    let is_or_absent = |name: &str, one: &str| variable(name).is_none_or(|value| value == one);
    let agree = is_or_absent("GROUP_WORLD_SIZE", "1") || is_or_absent("TORCHELASTIC_MAX_RESTARTS", "0");
    agree.then(|| format!("{id}.{restart}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<String> {
        run_id_of(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_run_is_a_launch_and_its_restart() {
        let (id, restart) = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT");
        assert_eq!(of(&[(id, "job-7"), (restart, "2")]).as_deref(), Some("job-7.2"));
        assert_eq!(of(&[(id, "none"), (restart, "0")]), None, "every launch without an id has this one");
        for missing in [&[][..], &[(id, "job-7")], &[(restart, "2")], &[(id, ""), (restart, "2")]] {
            assert_eq!(of(missing), None);
        }
    }

    #[test]
    fn nodes_that_count_their_own_restarts_have_no_name_in_common() {
        let on = |nodes, restarts| {
            of(&[
                ("TORCHELASTIC_RUN_ID", "j"),
                ("TORCHELASTIC_RESTART_COUNT", "0"),
                ("GROUP_WORLD_SIZE", nodes),
                ("TORCHELASTIC_MAX_RESTARTS", restarts),
            ])
        };
        assert_eq!([on("1", "3"), on("2", "0")], [Some("j.0".to_owned()), Some("j.0".to_owned())]);
        assert_eq!(on("2", "3"), None);
    }
}
