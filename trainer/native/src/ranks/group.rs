//! The C functions of `cpp/group.cpp`, made safe.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::null_mut;

use anyhow::Result;
use tch::{Device, Tensor};
use torch_sys::C_tensor;

use super::meeting::Meeting;
use crate::ffi::{Message, must, outcome, taken};

unsafe extern "C" {
    fn trainer_store_local(out: *mut *mut c_void) -> Message;
    fn trainer_store_free(store: *mut c_void);
    fn trainer_group_join(
        rank: c_int,
        size: c_int,
        address: *const c_char,
        port: c_int,
        agent_store: c_int,
        gpu: c_int,
        join_ms: i64,
        timeout_ms: i64,
        out: *mut *mut c_void,
    ) -> Message;
    fn trainer_group_join_local(
        store: *mut c_void,
        rank: c_int,
        size: c_int,
        gpu: c_int,
        timeout_ms: i64,
        out: *mut *mut c_void,
    ) -> Message;
    fn trainer_group_sum(group: *const c_void, x: *const C_tensor) -> Message;
    fn trainer_group_max(group: *const c_void, x: *const C_tensor) -> Message;
    fn trainer_group_broadcast(group: *const c_void, x: *const C_tensor) -> Message;
    fn trainer_group_gather(
        group: *const c_void,
        x: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> Message;
    fn trainer_group_exchange(
        group: *const c_void,
        x: *const C_tensor,
        receive: *const i64,
        send: *const i64,
        out: *mut *mut C_tensor,
    ) -> Message;
    fn trainer_group_ask(group: *const c_void, value: i64, out: *mut *mut c_void) -> Message;
    fn trainer_group_answer(question: *mut c_void, answer: *mut i64) -> Message;
    fn trainer_group_leave(group: *const c_void) -> Message;
    fn trainer_group_counted(group: *const c_void, calls: *mut i64, bytes: *mut i64);
    fn trainer_group_time(group: *const c_void, on: c_int);
    fn trainer_group_take_seconds(group: *const c_void, seconds: *mut f64) -> Message;
    fn trainer_group_set(group: *const c_void, key: *const c_char, value: *const c_char)
    -> Message;
    fn trainer_group_get(group: *const c_void, key: *const c_char, value: *mut Message) -> Message;
}

/// Calls of collectives, and bytes of this rank's tensors in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Sums, gathers, broadcasts, exchanges.
    pub calls: [i64; 4],
    /// In the same order.
    pub bytes: [i64; 4],
}

/// A joined group of processes or threads. Lives as long as the process: after a failure its threads
/// may be stuck, and its end would wait for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group(*const c_void);

// SAFETY: c10d's backends and stores lock what several threads use.
unsafe impl Send for Group {}
// SAFETY: as above.
unsafe impl Sync for Group {}

/// What ranks in threads of one process share to find each other.
pub(super) struct Store(*mut c_void);

// SAFETY: c10d's HashStore locks itself.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    pub(super) fn new() -> Self {
        let mut store = null_mut();
        // SAFETY: `store` is a live pointer.
        must(unsafe { trainer_store_local(&mut store) });
        Store(store)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by `new`; groups hold references of their own to what it points to.
        unsafe { trainer_store_free(self.0) };
    }
}

impl Group {
    pub(super) fn join(meeting: &Meeting<'_>, device: Device) -> Result<Self> {
        let address = CString::new(meeting.address)?;
        let mut group = null_mut();
        // SAFETY: the address lives for the time of the call, and `group` is a live pointer.
        outcome(unsafe {
            trainer_group_join(
                meeting.rank as c_int,
                meeting.size as c_int,
                address.as_ptr(),
                meeting.port.into(),
                meeting.agent_store.into(),
                ordinal(device),
                meeting.join_within.as_millis() as i64,
                meeting.answer_within.as_millis() as i64,
                &mut group,
            )
        })?;
        Ok(Group(group))
    }

    pub(super) fn join_local(
        store: &Store,
        rank: usize,
        size: usize,
        device: Device,
        answer_ms: i64,
    ) -> Result<Self> {
        let mut group = null_mut();
        // SAFETY: the store is alive, and `group` is a live pointer.
        outcome(unsafe {
            trainer_group_join_local(
                store.0,
                rank as c_int,
                size as c_int,
                ordinal(device),
                answer_ms,
                &mut group,
            )
        })?;
        Ok(Group(group))
    }

    /// For other C functions.
    pub(crate) fn as_ptr(self) -> *const c_void {
        self.0
    }

    pub(super) fn sum(self, x: &Tensor) -> Result<()> {
        // SAFETY: group and tensor live for the time of the call.
        outcome(unsafe { trainer_group_sum(self.0, x.as_ptr()) })
    }

    pub(super) fn max(self, x: &Tensor) -> Result<()> {
        // SAFETY: as above.
        outcome(unsafe { trainer_group_max(self.0, x.as_ptr()) })
    }

    pub(super) fn broadcast(self, x: &Tensor) -> Result<()> {
        // SAFETY: as above.
        outcome(unsafe { trainer_group_broadcast(self.0, x.as_ptr()) })
    }

    pub(super) fn gather(self, x: &Tensor) -> Result<Tensor> {
        let mut out = null_mut();
        // SAFETY: as above; `out` is a live pointer.
        outcome(unsafe { trainer_group_gather(self.0, x.as_ptr(), &mut out) })?;
        // SAFETY: on success `out` is a new `at::Tensor`, whose only owner this becomes.
        Ok(unsafe { Tensor::from_ptr(out) })
    }

    /// `receive` and `send` hold a number for each rank.
    pub(super) fn exchange(self, x: &Tensor, receive: &[i64], send: &[i64]) -> Result<Tensor> {
        let mut out = null_mut();
        // SAFETY: as above; both lists have as many numbers as there are ranks.
        outcome(unsafe {
            trainer_group_exchange(
                self.0,
                x.as_ptr(),
                receive.as_ptr(),
                send.as_ptr(),
                &mut out,
            )
        })?;
        // SAFETY: on success `out` is a new `at::Tensor`, whose only owner this becomes.
        Ok(unsafe { Tensor::from_ptr(out) })
    }

    pub(super) fn ask(self, value: i64) -> Result<Question> {
        let mut question = null_mut();
        // SAFETY: the group is alive, and `question` is a live pointer.
        outcome(unsafe { trainer_group_ask(self.0, value, &mut question) })?;
        Ok(Question(question))
    }

    pub(super) fn leave(self) -> Result<()> {
        // SAFETY: the group is alive.
        outcome(unsafe { trainer_group_leave(self.0) })
    }

    pub(super) fn counted(self) -> Counted {
        let mut counted = Counted::default();
        // SAFETY: both arrays have as many places as there are kinds of collectives.
        unsafe {
            trainer_group_counted(
                self.0,
                counted.calls.as_mut_ptr(),
                counted.bytes.as_mut_ptr(),
            );
        }
        counted
    }

    pub(super) fn time(self, on: bool) {
        // SAFETY: the group is alive.
        unsafe { trainer_group_time(self.0, on.into()) };
    }

    pub(super) fn take_seconds(self) -> Result<f64> {
        let mut seconds = 0.0;
        // SAFETY: the group is alive, and `seconds` is a live number.
        outcome(unsafe { trainer_group_take_seconds(self.0, &mut seconds) })?;
        Ok(seconds)
    }

    pub(super) fn set(self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (CString::new(key)?, CString::new(value.replace('\0', " "))?);
        // SAFETY: both texts live for the time of the call.
        outcome(unsafe { trainer_group_set(self.0, key.as_ptr(), value.as_ptr()) })
    }

    pub(super) fn get(self, key: &str) -> Result<Option<String>> {
        let key = CString::new(key)?;
        let mut value = null_mut();
        // SAFETY: the key lives for the time of the call, and `value` is a live pointer.
        outcome(unsafe { trainer_group_get(self.0, key.as_ptr(), &mut value) })?;
        Ok(taken(value))
    }
}

/// Of a GPU; −1 for the CPU.
fn ordinal(device: Device) -> c_int {
    match device {
        Device::Cuda(ordinal) => ordinal as c_int,
        _ => -1,
    }
}

/// A question to all ranks, on its way.
pub(super) struct Question(*mut c_void);

// SAFETY: it is only waited for, by whoever owns it.
unsafe impl Send for Question {}

impl Question {
    /// The largest value that a rank has asked with. Waits for all.
    pub(super) fn answer(self) -> Result<i64> {
        let mut answer = 0;
        // SAFETY: made by `ask`, and ended here alone.
        outcome(unsafe { trainer_group_answer(self.0, &mut answer) })?;
        Ok(answer)
    }
}
