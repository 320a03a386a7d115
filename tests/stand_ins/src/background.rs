//! A tokio runtime on its own thread, so that a stand-in answers while the test's thread is busy.

use std::future::Future;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A running background runtime. It ends, with every task on it, when the value is dropped.
#[derive(Debug)]
pub struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Background {
    /// Starts the runtime on a thread called `name`.
    pub fn start(name: &str) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = mpsc::channel();
        let run = move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime for a stand-in");
            ready.send(runtime.handle().clone()).expect("the starter waits for the handle");
            // An error only says that the sender is gone, which also means: stop.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread for a stand-in");
        let handle = started.recv().expect("the background thread sends its handle");
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }

    /// The runtime of tasks that must outlive the caller's own.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `future` on the background thread and blocks until it is done.
    ///
    /// Unlike `Runtime::block_on` this is allowed inside another runtime, because that one is not entered.
    /// On the background thread itself it would wait for ever.
    pub fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (done, result) = mpsc::channel();
        self.handle.spawn(async move {
            let _ = done.send(future.await);
        });
        result.recv().expect("a background task that neither panics nor is cancelled")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        // A task of this runtime may hold the last reference to it, and a thread cannot join itself.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}
