//! `--initial-cluster`: who the members of a new cluster are, and whether this one is among them.

use crate::flags::Given;
use embed::{InitialMember, InitialState, own_member, parse_cluster};

/// Members of the cluster. What only matters at the first start is not checked when there is data.
///
/// # Errors
/// etcd's texts for what is inconsistent.
pub fn members(given: &Given, name: &str, has_data: bool) -> Result<Vec<InitialMember>, String> {
    let advertised = given.list("initial-advertise-peer-urls");
    let own = || vec![InitialMember { name: name.to_owned(), peer_urls: advertised.clone() }];
    let text = given.text("initial-cluster");
    let cluster = if text.is_empty() { own() } else { parse_cluster(text).map_err(|why| why.to_string())? };
    if has_data {
        return Ok(cluster);
    }
    own_member(&cluster, name, &advertised).map_err(|why| why.to_string())?;
    Ok(cluster)
}

/// Whether a member without data makes a new cluster or joins one.
pub fn initial_state(given: &Given) -> InitialState {
    match given.text("initial-cluster-state") {
        "existing" => InitialState::Existing,
        _ => InitialState::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)], name: &str, has_data: bool) -> Result<Vec<InitialMember>, String> {
        let mut given = Given::default();
        for (flag, text) in pairs {
            given.set(flag, text).unwrap();
        }
        members(&given, name, has_data)
    }

    #[test]
    fn single_members() {
        let own = with(&[("initial-advertise-peer-urls", "http://10.0.0.1:2380")], "n", false).unwrap();
        assert_eq!(own, [InitialMember { name: "n".into(), peer_urls: vec!["http://10.0.0.1:2380".into()] }]);
        let two = "n=http://localhost:1,n=http://localhost:2";
        let peers = "http://127.0.0.1:2,http://127.0.0.1:1";
        with(&[("initial-cluster", two), ("initial-advertise-peer-urls", peers)], "n", false).unwrap();
    }

    #[test]
    fn several_members() {
        let three = "n=http://localhost:2380,m=http://b:2380,o=http://c:2380";
        let names: Vec<_> =
            with(&[("initial-cluster", three)], "n", false).unwrap().into_iter().map(|member| member.name).collect();
        assert_eq!(names, ["n", "m", "o"]);
    }

    #[test]
    fn what_does_not_fit() {
        let words = |cluster: &str| with(&[("initial-cluster", cluster)], "n", false).unwrap_err();
        let missing = words("y=http://localhost:2380");
        assert_eq!(missing, "couldn't find local name \"n\" in the initial cluster configuration");
        assert_eq!(words("n"), "empty URL given for \"n\"");
        assert!(
            words("n=http://localhost:2381").starts_with("--initial-cluster has n=http://localhost:2381 but missing")
        );
        assert!(words("n=http://localhost:2380,m=http://localhost:2380").contains("has duplicate url"));
        assert!(with(&[("initial-cluster", "y=http://localhost:2380")], "n", true).is_ok(), "ignored with data");
    }
}
