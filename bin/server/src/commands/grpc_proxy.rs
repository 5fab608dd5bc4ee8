//! `conclave grpc-proxy start`: from flags to a proxy that serves. Texts of errors are etcd's.

use super::endpoints::{Discovery, discover, parts};
use super::grpc_proxy_flags::Flags;
use super::{read, run};
use crate::log::Level;
use bytes::Bytes;
use embed::listen::{AutoTls, Side, TlsError, TlsSettings, TlsVersion};
use proxy::config::{Config, Registry};
use proxy::server::Proxy;
use proxy::upstream::{ClientTls, TlsFiles, UpstreamConfig};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Runs the proxy.
pub(super) fn main(args: &[String]) -> ExitCode {
    let flags: Flags = match read(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let level = if flags.debug { Level::Debug } else { Level::Info };
    run(level, async || start(&flags).await, Proxy::stop)
}

async fn start(flags: &Flags) -> Result<Proxy, String> {
    check(flags)?;
    tracing::info!(command = flags.command, "listen-addr" = flags.listen_addr, "running the gRPC proxy");
    if flags.grpc_keepalive_min_time != Duration::from_secs(5) {
        tracing::warn!("--grpc-keepalive-min-time has no effect: clients may ping as often as they like");
    }
    if flags.enable_pprof {
        tracing::warn!("--enable-pprof has no effect: there is no profile of Go's kind");
    }
    let discovery = Discovery {
        domain: &flags.discovery_srv,
        service: &flags.discovery_srv_name,
        insecure: flags.insecure_discovery,
        ca: &flags.cacert,
    };
    let mut endpoints: Vec<String> = discover(discovery).await?.into_iter().map(|one| one.url).collect();
    if endpoints.is_empty() {
        endpoints = parts(&flags.endpoints);
    }
    if endpoints.is_empty() {
        return Err("etcdclient: no available endpoints".into());
    }
    let config = config(flags, endpoints)?;
    Proxy::start(config).await.map_err(|why| why.to_string())
}

/// What etcd checks before it starts, in its order.
fn check(flags: &Flags) -> Result<(), String> {
    let (prefix, ttl) = (&flags.resolver_prefix, flags.resolver_ttl);
    if !prefix.is_empty() && ttl < 1 {
        return Err(format!("invalid resolver-ttl {ttl}"));
    }
    if prefix.is_empty() && ttl > 0 {
        return Err(format!("invalid resolver-prefix {prefix:?}"));
    }
    if !prefix.is_empty() && flags.advertise_client_url.is_empty() {
        return Err(format!("invalid advertise-client-url {:?}", flags.advertise_client_url));
    }
    if flags.auto_tls && flags.self_signed_cert_validity == 0 {
        return Err("selfSignedCertValidity is invalid,it should be greater than 0".into());
    }
    let settings = TlsSettings {
        min_version: version("min", &flags.tls_min_version)?.unwrap_or_default(),
        max_version: version("max", &flags.tls_max_version)?,
        cipher_suites: parts(&flags.listen_cipher_suites),
        ..TlsSettings::default()
    };
    settings.check().map_err(|why| why.to_string())
}

fn version(which: &str, text: &str) -> Result<Option<TlsVersion>, String> {
    let parsed = Some(text).filter(|text| !text.is_empty()).map(str::parse).transpose();
    parsed.map_err(|why: TlsError| format!("tls-{which}-version is invalid: {why}"))
}

fn config(flags: &Flags, endpoints: Vec<String>) -> Result<Config, String> {
    let some = |length: Duration| Some(length).filter(|length| !length.is_zero());
    let upstream = UpstreamConfig {
        tls: upstream_tls(flags)?,
        keepalive_time: some(flags.dial_keepalive_time),
        keepalive_timeout: flags.dial_keepalive_timeout,
        keepalive_idle: flags.permit_without_stream,
        auto_sync: some(flags.endpoints_auto_sync_interval),
        ..UpstreamConfig::new(endpoints)
    };
    // as etcd's client takes them: what is no size means its default
    let upstream = UpstreamConfig {
        max_send: usize::try_from(flags.max_send_bytes).ok().filter(|size| *size > 0).unwrap_or(upstream.max_send),
        max_receive: usize::try_from(flags.max_recv_bytes)
            .ok()
            .filter(|size| *size > 0)
            .unwrap_or(upstream.max_receive),
        ..upstream
    };
    let registry = (!flags.resolver_prefix.is_empty())
        .then(|| Registry { prefix: flags.resolver_prefix.clone(), ttl: flags.resolver_ttl });
    Ok(Config {
        listen: flags.listen_addr.clone(),
        tls: listen_tls(flags)?,
        metrics: Some(flags.metrics_addr.clone()).filter(|url| !url.is_empty()),
        max_message: upstream.max_send,
        upstream,
        namespace: flags.namespace.clone().into(),
        advertised: flags.advertise_client_url.clone(),
        registry,
        leasing: Some(flags.experimental_leasing_prefix.clone().into()).filter(|prefix: &Bytes| !prefix.is_empty()),
        ordering: flags.experimental_serializable_ordering,
        log_calls: flags.experimental_enable_grpc_logging,
        keepalive_interval: some(flags.grpc_keepalive_interval),
        keepalive_timeout: some(flags.grpc_keepalive_timeout).unwrap_or(Duration::from_secs(20)),
        max_streams: flags.max_concurrent_streams,
        process_page: embed::process_page,
    })
}

fn path(text: &str) -> Option<PathBuf> {
    Some(text).filter(|text| !text.is_empty()).map(PathBuf::from)
}

fn upstream_tls(flags: &Flags) -> Result<Option<ClientTls>, String> {
    let files = TlsFiles {
        cert: path(&flags.cert),
        key: path(&flags.key),
        cacert: path(&flags.cacert),
        skip_verify: flags.insecure_skip_tls_verify,
        server_name: None,
        without_common_name: true,
    };
    if files.skip_verify {
        tracing::warn!("--insecure-skip-tls-verify was given: certificates of members are not verified");
    }
    let is_asked = files.cert.is_some() || files.key.is_some() || files.cacert.is_some() || files.skip_verify;
    is_asked.then(|| ClientTls::read(&files)).transpose()
}

fn listen_tls(flags: &Flags) -> Result<Option<TlsSettings>, String> {
    let (cert_file, key_file) = (path(&flags.cert_file), path(&flags.key_file));
    let trusted_ca_file = path(&flags.trusted_ca_file);
    let is_given = cert_file.is_some() || key_file.is_some() || trusted_ca_file.is_some();
    if !is_given && !flags.auto_tls {
        return Ok(None);
    }
    let auto = (!is_given).then(|| AutoTls {
        dir: Path::new(&flags.data_dir).join("fixtures").join("proxy"),
        years: flags.self_signed_cert_validity,
    });
    Ok(Some(TlsSettings {
        side: Side::Client,
        cert_file,
        key_file,
        client_cert_auth: trusted_ca_file.is_some(),
        // without an authority no certificate is asked for, so that none can be revoked
        crl_file: path(&flags.client_crl_file).filter(|_| trusted_ca_file.is_some()),
        trusted_ca_file,
        auto,
        min_version: version("min", &flags.tls_min_version)?.unwrap_or_default(),
        max_version: version("max", &flags.tls_max_version)?,
        cipher_suites: parts(&flags.listen_cipher_suites),
        ..TlsSettings::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Flags {
        let line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }

    #[test]
    fn defaults_are_those_of_etcd() {
        let config = config(&flags("start"), vec!["a:1".into()]).unwrap();
        assert_eq!((config.listen.as_str(), config.advertised.as_str()), ("127.0.0.1:23790", "127.0.0.1:23790"));
        assert_eq!((config.max_message, config.upstream.max_receive), (1_572_864, i32::MAX as usize));
        assert_eq!((config.upstream.keepalive_time, config.upstream.auto_sync), (None, None));
        assert_eq!(config.keepalive_interval, Some(Duration::from_secs(7200)));
        assert!(config.tls.is_none() && config.registry.is_none() && config.upstream.tls.is_none());
        assert_eq!(config.leasing, None);
    }

    #[test]
    fn what_etcd_says() {
        let words = |line: &str| check(&flags(line)).unwrap_err();
        assert_eq!(words("start --resolver-prefix=p"), "invalid resolver-ttl 0");
        assert_eq!(words("start --resolver-ttl=5"), "invalid resolver-prefix \"\"");
        assert_eq!(
            words("start --resolver-prefix=p --resolver-ttl=5 --advertise-client-url="),
            "invalid advertise-client-url \"\""
        );
        assert!(words("start --auto-tls --self-signed-cert-validity=0").starts_with("selfSignedCertValidity"));
        assert!(words("start --tls-min-version=TLS1.0").starts_with("tls-min-version is invalid: "));
        assert_eq!(
            words("start --tls-min-version=TLS1.3 --tls-max-version=TLS1.2"),
            "min version (TLS1.3) is greater than max version (TLS1.2)"
        );
        assert_eq!(
            words("start --tls-min-version=TLS1.3 --listen-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            "cipher suites cannot be configured when only TLS1.3 is enabled"
        );
        check(&flags("start --listen-cipher-suites=")).unwrap();
    }

    #[test]
    fn certificates_are_made_only_when_none_is_given() {
        let made = listen_tls(&flags("start --auto-tls --data-dir=d")).unwrap().unwrap();
        assert_eq!(made.auto.unwrap().dir, Path::new("d/fixtures/proxy"));
        let given =
            listen_tls(&flags("start --auto-tls --cert-file=c --key-file=k --client-crl-file=r")).unwrap().unwrap();
        assert!(given.auto.is_none() && given.crl_file.is_none());
        let asks =
            listen_tls(&flags("start --cert-file=c --key-file=k --trusted-ca-file=a --client-crl-file=r")).unwrap();
        assert!(asks.unwrap().crl_file.is_some());
    }
}
