//! Users and roles of the v2 API: what is asked here was asked of etcd 3.4.23 too.

use harness::http::{Answer, get, request, request_with, request_with_body};
use harness::server::on_server_with;
use std::net::SocketAddr;

async fn put(at: SocketAddr, path: &str, body: &str) -> Answer {
    request_with_body(at, "PUT", path, &[], body).await
}

/// As root, whose password is `p`.
const ROOT: (&str, &str) = ("Authorization", "Basic cm9vdDpw");
/// As alice, whose password is `a`.
const ALICE: (&str, &str) = ("Authorization", "Basic YWxpY2U6YQ==");
/// As alice with another password.
const WRONG: (&str, &str) = ("Authorization", "Basic YWxpY2U6Yg==");

fn with_users(test: impl AsyncFnOnce(SocketAddr)) {
    let adjust = |config: &mut embed::Config| {
        config.enable_v2 = true;
        config.bcrypt_cost = 4;
    };
    on_server_with(adjust, async |server| test(server.address()).await);
}

#[test]
fn users_and_roles_are_made_changed_and_shown() {
    with_users(async |at| {
        let made = put(at, "/v2/auth/users/alice", r#"{"user":"alice","password":"a"}"#).await;
        assert_eq!((made.code, made.body.as_str()), (201, "{\"user\":\"alice\",\"roles\":null}\n"));
        let role = r#"{"role":"r","permissions":{"kv":{"read":["/a/*"],"write":null}}}"#;
        let made = put(at, "/v2/auth/roles/r", role).await;
        assert_eq!((made.code, made.body), (201, format!("{role}\n")));
        let granted = put(at, "/v2/auth/users/alice", r#"{"user":"alice","grant":["r"]}"#).await;
        assert_eq!((granted.code, granted.body.as_str()), (200, "{\"user\":\"alice\",\"roles\":[\"r\"]}\n"));
        let again = put(at, "/v2/auth/users/alice", r#"{"user":"alice","grant":["r"]}"#).await;
        assert_eq!(again.code, 409);
        assert_eq!(again.body, "{\"message\":\"auth: Granting duplicate role r for user alice\"}");
        let shown = get(at, "/v2/auth/users/alice").await;
        assert_eq!(shown.body, format!("{{\"user\":\"alice\",\"roles\":[{role}]}}\n"));
        let more = put(at, "/v2/auth/roles/r", r#"{"role":"r","grant":{"kv":{"write":["/a/*"]}}}"#).await;
        let both = r#"{"role":"r","permissions":{"kv":{"read":["/a/*"],"write":["/a/*"]}}}"#;
        assert_eq!((more.code, more.body), (200, format!("{both}\n")));
        let bad = [
            ("/v2/auth/users/bob", r#"{"user":"alice"}"#, 400, "User JSON name does not match the name in the URL"),
            ("/v2/auth/users/bob", r#"{"user":"bob"}"#, 400, "auth: Cannot create user bob with an empty password"),
            ("/v2/auth/users/bob", "no", 400, "Invalid JSON in request body."),
            ("/v2/auth/roles/root", r#"{"role":"root"}"#, 403, "auth: Cannot modify role root: is root role."),
            ("/v2/auth/roles/r", r#"{"role":"r"}"#, 409, "auth: Role r already exists."),
            ("/v2/auth/enable", "", 409, "auth: No root user available, please create one"),
        ];
        for (path, body, code, text) in bad {
            let answer = put(at, path, body).await;
            assert_eq!((answer.code, answer.body), (code, format!("{{\"message\":\"{text}\"}}")), "{path} {body}");
        }
        let gone = request(at, "DELETE", "/v2/auth/users/alice").await;
        assert_eq!((gone.code, gone.body.as_str()), (200, ""));
        let missing = request(at, "DELETE", "/v2/auth/users/alice").await;
        assert_eq!(missing.body, "{\"message\":\"auth: User alice does not exist\"}");
    });
}

#[test]
fn who_is_not_permitted_is_refused() {
    with_users(async |at| {
        put(at, "/v2/auth/users/root", r#"{"user":"root","password":"p"}"#).await;
        put(at, "/v2/auth/users/alice", r#"{"user":"alice","password":"a"}"#).await;
        put(at, "/v2/auth/roles/r", r#"{"role":"r","permissions":{"kv":{"read":["/a*"],"write":["/a/k"]}}}"#).await;
        put(at, "/v2/auth/users/alice", r#"{"user":"alice","grant":["r"]}"#).await;
        assert_eq!(put(at, "/v2/auth/enable", "").await.code, 200);
        assert_eq!(get(at, "/v2/auth/enable").await.body, "{\"enabled\":true}\n");
        // guests may everything until somebody says otherwise
        assert_eq!(put(at, "/v2/keys/g?value=x", "").await.code, 201);
        let less = r#"{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}"#;
        assert_eq!(put(at, "/v2/auth/roles/guest", less).await.code, 401, "only root changes roles");
        let revoked = request_with_body(at, "PUT", "/v2/auth/roles/guest", &[ROOT], less).await;
        assert_eq!(revoked.code, 200, "{}", revoked.body);
        let refused = get(at, "/v2/keys/a").await;
        let text = "{\"errorCode\":110,\"message\":\"The request requires user authentication\",\
                    \"cause\":\"Insufficient credentials\",\"index\":0}\n";
        assert_eq!((refused.code, refused.body.as_str()), (401, text));
        let cases = [
            ("PUT", "/a/k?value=x", ALICE, 201),
            ("PUT", "/a/k?value=x", WRONG, 401),
            ("PUT", "/a/l?value=x", ALICE, 401),
            ("GET", "/a?recursive=true", ALICE, 200),
            ("GET", "/?recursive=true", ALICE, 401),
            ("DELETE", "/a?recursive=true", ALICE, 401),
            ("GET", "/?recursive=true", ROOT, 200),
        ];
        for (method, target, who, code) in cases {
            let answer = request_with(at, method, &format!("/v2/keys{target}"), &[who]).await;
            assert_eq!(answer.code, code, "{method} {target} as {who:?}: {}", answer.body);
        }
        assert_eq!(request(at, "DELETE", "/v2/members/1").await.code, 401);
        assert_eq!(request_with(at, "DELETE", "/v2/members/1", &[ALICE]).await.code, 401);
        assert_eq!(request_with(at, "DELETE", "/v2/members/1", &[ROOT]).await.code, 404);
        assert_eq!(request_with(at, "DELETE", "/v2/auth/users/root", &[ROOT]).await.code, 403);
        assert_eq!(request_with(at, "DELETE", "/v2/auth/enable", &[ROOT]).await.code, 200);
        assert_eq!(get(at, "/v2/keys/a").await.code, 200);
    });
}
