//! One JPEG in libjpeg's hands. reader.c says which of its complaints are damage; whoever decodes,
//! checks or transcodes does so through here.
#![expect(
    unsafe_code,
    reason = "libjpeg has a C interface, and longjmp must not cross Rust frames (reader.c)"
)]

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::defect::Result;
use crate::message::defect;

/// `reader` of reader.h.
#[repr(C)]
pub(crate) struct State {
    _private: [u8; 0],
}

mod ffi {
    use super::{State, c_char, c_int};

    unsafe extern "C" {
        pub(super) fn kit_reader_open(jpeg: *const u8, len: usize) -> *mut State;
        pub(super) fn kit_reader_close(reader: *mut State);
        pub(super) fn kit_reader_message(reader: *const State) -> *const c_char;
        pub(super) fn kit_reader_read_header(reader: *mut State) -> c_int;
    }
}

/// A JPEG whose header has been read.
pub(crate) struct Reader<'a> {
    state: NonNull<State>,
    jpeg: PhantomData<&'a [u8]>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // SAFETY: the state was made by `open` and is closed once.
        unsafe { ffi::kit_reader_close(self.state.as_ptr()) }
    }
}

impl<'a> Reader<'a> {
    /// Reads the header of `jpeg`.
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if it is damaged.
    pub(crate) fn open(jpeg: &'a [u8]) -> Result<Self> {
        // SAFETY: pointer and length are those of a slice that outlives the reader.
        let state = unsafe { ffi::kit_reader_open(jpeg.as_ptr(), jpeg.len()) };
        let state = NonNull::new(state).expect("a state is a few kilobytes");
        let reader = Self {
            state,
            jpeg: PhantomData,
        };
        // SAFETY: the state is open, and this is its first call.
        let code = unsafe { ffi::kit_reader_read_header(state.as_ptr()) };
        reader.check(code)?;
        Ok(reader)
    }

    /// What the C functions take.
    pub(crate) fn state(&mut self) -> *mut State {
        self.state.as_ptr()
    }

    /// Turns what a C function returns into a result.
    pub(crate) fn check(&self, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the message is a NUL-terminated string that lives until the next call.
        let message = unsafe { CStr::from_ptr(ffi::kit_reader_message(self.state.as_ptr())) };
        Err(defect(&message.to_string_lossy()))
    }
}
