//! Events of a CUDA stream, through libtorch's device-neutral `c10::Event`.

use std::ffi::{c_int, c_void};

use anyhow::Result;
use tch::Device;

use crate::ffi::{Message, outcome};

unsafe extern "C" {
    fn trainer_event_record(ordinal: c_int, out: *mut *mut c_void) -> Message;
    fn trainer_event_query(event: *mut c_void, done: *mut c_int) -> Message;
    fn trainer_event_wait(event: *mut c_void) -> Message;
    fn trainer_event_block_stream(event: *mut c_void) -> Message;
    fn trainer_event_free(event: *mut c_void);
}

/// A mark in a device's stream of work: what was queued before it, has it finished?
///
/// On the CPU work is done when it returns, so such an event has always happened.
pub struct Event(Option<*mut c_void>);

// SAFETY: a recorded event is only queried, waited for and freed, which CUDA allows from any
// thread; and only from one thread at a time, because `Event` is not `Sync`.
unsafe impl Send for Event {}

impl Event {
    /// Records on the current stream of `device`.
    pub fn record(device: Device) -> Result<Self> {
        let Device::Cuda(ordinal) = device else {
            return Ok(Event(None));
        };
        let mut event = std::ptr::null_mut();
        // SAFETY: `event` points to a live pointer.
        outcome(unsafe { trainer_event_record(ordinal as c_int, &mut event) })?;
        Ok(Event(Some(event)))
    }

    /// Whether everything queued before the event has finished. Does not wait.
    pub fn is_done(&self) -> Result<bool> {
        let Some(event) = self.0 else {
            return Ok(true);
        };
        let mut done = 0;
        // SAFETY: `event` is alive until drop; `done` points to a live integer.
        outcome(unsafe { trainer_event_query(event, &mut done) })?;
        Ok(done != 0)
    }

    /// Blocks the calling thread until the event has happened.
    pub fn wait(&self) -> Result<()> {
        match self.0 {
            // SAFETY: `event` is alive until drop.
            Some(event) => outcome(unsafe { trainer_event_wait(event) }),
            None => Ok(()),
        }
    }

    /// Lets the device's current stream wait for the event; the calling thread goes on.
    pub fn block_stream(&self) -> Result<()> {
        match self.0 {
            // SAFETY: `event` is alive until drop.
            Some(event) => outcome(unsafe { trainer_event_block_stream(event) }),
            None => Ok(()),
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Some(event) = self.0 {
            // SAFETY: made by `trainer_event_record`, freed once.
            unsafe { trainer_event_free(event) };
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    /// Waits for an event behind long work; whether it had happened before.
    fn waited_for(device: Device) -> bool {
        let (side, times) = if device.is_cuda() {
            (4096, 100)
        } else {
            (8, 1)
        };
        let x = Tensor::ones([side, side], (Kind::Float, device));
        let mut y = x.matmul(&x); // starts cuBLAS
        for _ in 0..times {
            y = y.matmul(&x) * 1e-4;
        }
        let event = Event::record(device).unwrap();
        let was_done = event.is_done().unwrap();
        event.block_stream().unwrap();
        event.wait().unwrap();
        assert!(event.is_done().unwrap());
        was_done
    }

    #[test]
    fn cpu_events_have_always_happened() {
        assert!(waited_for(Device::Cpu));
    }

    #[test]
    #[ignore = "needs CUDA"]
    fn an_event_says_when_the_work_before_it_is_done() {
        assert!(!waited_for(crate::cuda_device(0).unwrap()));
    }
}
