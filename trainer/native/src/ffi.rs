//! How Rust and the C++ files talk: messages out, lists of tensors in.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;

use anyhow::{Result, anyhow};
use tch::Tensor;
use torch_sys::C_tensor;

/// What a native function returns: null, or an error that is ours to free.
pub(crate) type Message = *mut c_char;
/// Pointers to tensors.
pub(crate) type TensorList = *const *const C_tensor;

unsafe extern "C" {
    fn trainer_free_message(text: Message);
}

/// Takes ownership of what a native function returned: null is success.
pub(crate) fn outcome(message: Message) -> Result<()> {
    match taken(message) {
        None => Ok(()),
        Some(text) => Err(anyhow!(
            "libtorch: {}",
            text.lines().next().unwrap_or("unknown error")
        )),
    }
}

/// The text that a native function has given, if it is not null.
pub(crate) fn taken(text: Message) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: a non-null text is a NUL-terminated string from `strdup`, ours to free, read before it
    // is freed.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        trainer_free_message(text);
        Some(owned)
    }
}

/// Panics with libtorch's message, for calls that fail only through a bug of ours or exhausted
/// memory.
pub(crate) fn must(message: Message) {
    if let Err(error) = outcome(message) {
        panic!("{error:#}");
    }
}

/// Pointers to the tensors. The tensors outlive the list: it borrows them.
pub(crate) struct Pointers<'a> {
    raw: Vec<*const C_tensor>,
    tensors: PhantomData<&'a Tensor>,
}

impl<'a> Pointers<'a> {
    pub(crate) fn of(tensors: &'a [Tensor]) -> Self {
        Pointers {
            raw: tensors.iter().map(Tensor::as_ptr).collect(),
            tensors: PhantomData,
        }
    }

    pub(crate) fn as_list(&self) -> TensorList {
        self.raw.as_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }
}
