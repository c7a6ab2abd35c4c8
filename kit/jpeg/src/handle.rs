//! One TurboJPEG instance, and how its calls fail.
#![expect(unsafe_code, reason = "libjpeg-turbo has a C interface")]

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

use turbojpeg_sys as tj;

use crate::defect::Result;
use crate::message::defect;

pub(crate) struct Handle(NonNull<c_void>);

// SAFETY: an instance has no ties to the thread that made it; it must only not be used by two at
// once, and every call below takes it by `&mut`.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the instance was made by `tj3Init` and is destroyed once.
        unsafe { tj::tj3Destroy(self.0.as_ptr()) }
    }
}

impl Handle {
    /// One that reads the header of an image, and takes no interest in its colour profile.
    pub(crate) fn to_read_header() -> Self {
        let mut decoder = Self::new(tj::TJINIT_TJINIT_DECOMPRESS);
        decoder.set(tj::TJPARAM_TJPARAM_SAVEMARKERS, 0);
        decoder
    }

    /// One that encodes images into buffers of the caller's.
    pub(crate) fn to_encode() -> Self {
        let mut encoder = Self::new(tj::TJINIT_TJINIT_COMPRESS);
        encoder.set(tj::TJPARAM_TJPARAM_NOREALLOC, 1);
        encoder
    }

    fn new(kind: tj::TJINIT) -> Self {
        // SAFETY: takes an integer, returns an instance or null.
        let instance = unsafe { tj::tj3Init(kind as c_int) };
        Self(NonNull::new(instance).expect("an instance is a few kilobytes"))
    }

    pub(crate) fn raw(&mut self) -> tj::tjhandle {
        self.0.as_ptr()
    }

    /// Sets one of our own, valid parameter values.
    pub(crate) fn set(&mut self, parameter: tj::TJPARAM, value: c_int) {
        // SAFETY: the instance is alive; any integers are checked by the callee.
        let code = unsafe { tj::tj3Set(self.raw(), parameter as c_int, value) };
        assert_eq!(code, 0, "TurboJPEG refuses parameter {parameter} = {value}");
    }

    pub(crate) fn get(&mut self, parameter: tj::TJPARAM) -> c_int {
        // SAFETY: as in `set`.
        unsafe { tj::tj3Get(self.raw(), parameter as c_int) }
    }

    /// Turns a return code into a result. A warning is none: what of them is damage is decided in
    /// reader.c, when the image is decoded.
    pub(crate) fn check(&mut self, code: c_int) -> Result<()> {
        // SAFETY: the instance is alive.
        let is_warning =
            || unsafe { tj::tj3GetErrorCode(self.0.as_ptr()) } == tj::TJERR_TJERR_WARNING as c_int;
        if code == 0 || is_warning() {
            return Ok(());
        }
        // SAFETY: the message is a NUL-terminated string that lives until the next call on this
        // thread.
        let message = unsafe { CStr::from_ptr(tj::tj3GetErrorStr(self.raw())) };
        Err(defect(&message.to_string_lossy()))
    }
}
