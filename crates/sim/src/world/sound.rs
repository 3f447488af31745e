//! What the media provider puts out: packets, frames, recordings, events.

use super::{Media, MediaInput, ProviderInput, Way, Work, World};
use crate::net::Datagram;
use tapi::End;
use tapi_core::Input;
use tspi::media::{self, MediaProvider};

impl World {
    pub(super) fn drain_media(&mut self) {
        while let Some(output) = self.media.msp.poll_output() {
            self.media_output(output);
        }
        if self.setup.snapshots {
            self.media.restore();
        }
    }

    fn media_output(&mut self, output: media::Output) {
        match output {
            media::Output::Event(event) => {
                if let media::Event::Ended { operation, stream, .. } = &event {
                    let noted = self.media.ended(*operation, *stream);
                    self.must(noted);
                }
                self.queues.push(Way::MediaToServer, Work::Server(Input::Media(event)));
            }
            media::Output::Packet { stream, to, packet } => {
                if let Some(from) = self.media.addresses.get(&stream).copied() {
                    self.net.send(self.now, Datagram { from, to, bytes: packet.as_slice().to_vec() });
                }
            }
            media::Output::Control { stream, to, packet } => {
                if let Some(from) = self.media.control_address(stream) {
                    self.net.send(self.now, Datagram { from, to, bytes: packet.as_slice().to_vec() });
                }
            }
            media::Output::Frame { stream, frame } => {
                if let Some(id) = self.media.owners.get(&stream).copied() {
                    let input = ProviderInput::Frame { stream, frame: Box::new(frame) };
                    self.queues.push(Way::MediaToProvider(id), Work::Provider(id, input));
                }
            }
            // An application that listens and says nothing.
            media::Output::ApplicationBegins { .. }
            | media::Output::ApplicationFrame { .. }
            | media::Output::ApplicationTold { .. }
            | media::Output::ApplicationEnds { .. } => {}
            media::Output::Load { operation, descriptor, .. } => {
                let input = match self.media.files.get(&descriptor) {
                    Some(samples) => MediaInput::Loaded { operation, samples: samples.clone() },
                    None => MediaInput::Failed { operation, end: End::Failed },
                };
                self.queues.push(Way::FilesToMedia, Work::Media(input));
            }
            media::Output::RecordingBegins { operation, descriptor, .. } => {
                self.media.writing.insert(operation, descriptor);
                self.media.recordings.insert(descriptor, super::Recording::default());
            }
            media::Output::Recorded { operation, octets } => {
                let frames = octets.chunks_exact(4 * tspi::media::FRAME_SAMPLES);
                if frames.fold(false, |full, pairs| full | record(&mut self.media, operation, pairs)) {
                    let input = MediaInput::Failed { operation, end: End::DiskFull };
                    self.queues.push(Way::FilesToMedia, Work::Media(input));
                }
            }
            media::Output::RecordingEnds { operation } => {
                let descriptor = self.media.writing.remove(&operation);
                if let Some(file) = descriptor.and_then(|descriptor| self.media.recordings.get_mut(&descriptor)) {
                    file.complete = true;
                }
            }
        }
    }
}

/// Adds 20 ms to a recording; whether the disk is full instead.
fn record(media: &mut Media, operation: tapi::OperationId, pairs: &[u8]) -> bool {
    let side = |side: usize| {
        let sample = |n: usize| pairs.get(4 * n + 2 * side..)?.first_chunk().copied().map(i16::from_le_bytes);
        tspi::Frame(std::array::from_fn(|n| sample(n).unwrap_or(0)))
    };
    let Some(descriptor) = media.writing.get(&operation) else { return false };
    let limit = media.disk_frames.unwrap_or(usize::MAX);
    match media.recordings.get_mut(descriptor) {
        Some(file) if file.frames.len() < limit => {
            file.frames.push((side(0), side(1)));
            false
        }
        Some(file) => file.frames.len() == limit,
        None => false,
    }
}
