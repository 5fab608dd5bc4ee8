//! Own certificates of listeners: warned about before they end, made again when they are self-made, shown as a metric.
//!
//! Must never end the node: a certificate that is no good any more is the operator's to renew, in place.

use std::sync::Arc;
use std::time::Duration;
use tls::Identity;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(60);

/// Looks until the node ends, and says each time when the certificate does, in seconds since 1970.
pub(crate) async fn watch(identity: Arc<Identity>, noted: impl Fn(i64)) {
    loop {
        let looking = Arc::clone(&identity);
        // files may lie on a disk that hangs
        let looked = actix_rt::task::spawn_blocking(move || {
            looking.look();
            looking.not_after()
        });
        let Ok(not_after) = looked.await else { return };
        noted(not_after);
        actix_rt::time::sleep(PERIOD).await;
    }
}
