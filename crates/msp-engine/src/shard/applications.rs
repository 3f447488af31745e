//! Sockets of applications in the media thread.

use super::{APPLICATION, Shard, watch};
use crate::application::{self, Said};
use std::io;
use tapi::{End, OperationId, Time};
use tspi::media::{AudioFrame, DescriptorId, Input, MediaProvider, Rate, Told};

impl Shard {
    pub(super) fn begin_application(
        &mut self,
        now: Time,
        operation: OperationId,
        descriptor: DescriptorId,
        rate: Rate,
    ) {
        let taken = self.descriptors.remove(&descriptor).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        let socket = taken.and_then(|fd| {
            let socket = application::Socket::new(fd, rate)?;
            watch(&self.epoll, &socket, APPLICATION | operation.0)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => drop(self.applications.insert(operation, socket)),
            Err(error) => {
                tracing::warn!(operation = operation.0, %error, "audio of an application cannot begin");
                self.msp.handle(now, Input::Failed { operation, end: End::Failed });
            }
        }
    }

    pub(super) fn read_application(&mut self, now: Time, operation: OperationId) {
        let Some(socket) = self.applications.get_mut(&operation) else { return };
        let (msp, lost) = (&mut self.msp, &mut self.counters.lost_frames);
        let read = socket.read(lost, |said| match said {
            Said::Audio(frame) => msp.handle(now, Input::ApplicationFrame { operation, frame }),
            Said::Ask(ask) => msp.handle(now, Input::ApplicationAsks { operation, ask }),
        });
        self.after_application(now, operation, read);
        self.drain(now);
    }

    pub(super) fn write_application(&mut self, now: Time, operation: OperationId, frame: &AudioFrame) {
        let Some(socket) = self.applications.get_mut(&operation) else { return };
        let wrote = socket.write(frame, &mut self.counters.lost_frames);
        self.after_application(now, operation, wrote);
    }

    pub(super) fn tell_application(&mut self, now: Time, operation: OperationId, told: Told) {
        let Some(socket) = self.applications.get_mut(&operation) else { return };
        let told = socket.tell(told);
        self.after_application(now, operation, told);
    }

    fn after_application(&mut self, now: Time, operation: OperationId, went: application::Read) {
        if went == application::Read::Over {
            self.applications.remove(&operation);
            self.msp.handle(now, Input::Failed { operation, end: End::Done });
        }
    }
}
