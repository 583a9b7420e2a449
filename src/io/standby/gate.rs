//! Owns holding a task still while its hub stands by. Refuses to end it: what it knew is there when
//! the hub works again.

use std::future::Future;
use std::pin::pin;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Runs `task` while `working` is true and lets it rest while it is not. Ends with `task`, or when
/// `stop` comes while it rests.
pub async fn while_working(
    (mut working, stop): (watch::Receiver<bool>, CancellationToken),
    task: impl Future<Output = ()>,
) {
    let mut task = pin!(task);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = until(&mut working, true) => {}
        }
        tokio::select! {
            biased;
            () = &mut task => return,
            () = until(&mut working, false) => {}
        }
    }
}

/// Waits until `working` is `wanted`; for ever where nobody can change it any more.
async fn until(working: &mut watch::Receiver<bool>, wanted: bool) {
    if working.wait_for(|is| *is == wanted).await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn rests_and_goes_on() {
        let (tell, working) = watch::channel(false);
        let (stop, turns) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&turns);
        let task = async move {
            loop {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let script = async {
            let mut seen = Vec::new();
            for works in [false, true, false, true, false] {
                tell.send_replace(works);
                tokio::time::sleep(Duration::from_millis(2_500)).await;
                seen.push(turns.load(Ordering::Relaxed));
            }
            stop.cancel();
            seen
        };
        let ((), seen) = tokio::join!(while_working((working, stop.clone()), task), script);
        assert_eq!(seen, [0, 3, 3, 6, 6]);
    }
}
