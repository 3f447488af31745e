//! The files that come with requests.

use crate::core::PassedFile;
use crate::files::{self, Directories};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tapi::request::{CallMake, CallPlay, CallRecord};
use tapi::{BearerMode, Error, ErrorCode, PlaySource, RecordSink, Request};

/// The file that a request is about: the client's own, or one below the configured directories.
pub async fn file(
    request: &Request,
    passed: &mut VecDeque<OwnedFd>,
    directories: &Arc<Directories>,
) -> Result<Option<PassedFile>, Error> {
    let directories = Arc::clone(directories);
    match request {
        Request::CallPlay(CallPlay { source: PlaySource::Descriptor, .. })
        | Request::CallRecord(CallRecord { sink: RecordSink::Descriptor, .. }) => {
            let missing = || ErrorCode::InvalParam.because("no descriptor came with the request");
            let file = files::passed(passed.pop_front().ok_or_else(missing)?)?;
            Ok(Some(PassedFile { file, created: None }))
        }
        Request::CallAudio(_) => {
            let missing = || ErrorCode::InvalParam.because("no descriptor came with the request");
            let file = files::passed_socket(passed.pop_front().ok_or_else(missing)?)?;
            Ok(Some(PassedFile { file, created: None }))
        }
        Request::CallMake(CallMake { bearer: Some(BearerMode::Passthrough), .. }) => {
            let missing = || ErrorCode::InvalParam.because("no descriptor came with the request");
            let file = files::passed_stream(passed.pop_front().ok_or_else(missing)?)?;
            Ok(Some(PassedFile { file, created: None }))
        }
        Request::CallPlay(CallPlay { source: PlaySource::File(name), .. }) => {
            let name = name.clone();
            let file = off_the_runtime(move || directories.open_media(&name)).await?;
            Ok(Some(PassedFile { file, created: None }))
        }
        Request::CallRecord(CallRecord { sink: RecordSink::File(name), .. }) => {
            let name = name.clone();
            let (file, created) = off_the_runtime(move || directories.create_recording(&name)).await?;
            Ok(Some(PassedFile { file, created: Some(created) }))
        }
        _ => Ok(None),
    }
}

/// Runs what may block on a disk where it disturbs nobody.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(ErrorCode::OperationFailed.because("the file could not be opened")),
    }
}
