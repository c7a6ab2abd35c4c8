//! Reads the DCT coefficients of a JPEG, to prove that another one keeps them.
#![expect(
    unsafe_code,
    reason = "libjpeg-turbo hands out coefficients through a callback"
)]

use std::ffi::{CStr, c_int, c_short, c_void};

use turbojpeg_sys as tj;

/// The quantised coefficients of every component of `jpeg`, block after block, in libjpeg's natural
/// order.
///
/// # Panics
/// If the decoder fails, or warns of anything but padding behind the last block.
pub fn coefficients(jpeg: &[u8]) -> Vec<Vec<i16>> {
    let mut found: Vec<Vec<i16>> = Vec::new();
    let transform = tj::tjtransform {
        r: tj::tjregion {
            x: 0,
            y: 0,
            w: 0,
            h: 0,
        },
        op: tj::TJXOP_TJXOP_NONE as c_int,
        options: tj::TJXOPT_NOOUTPUT as c_int,
        data: (&raw mut found).cast::<c_void>(),
        customFilter: Some(collect),
    };
    let (mut target, mut len) = (std::ptr::null_mut(), 0);
    // SAFETY: takes an integer, returns an instance or null.
    let transformer = unsafe { tj::tj3Init(tj::TJINIT_TJINIT_TRANSFORM as c_int) };
    assert!(!transformer.is_null(), "an instance is a few kilobytes");
    // SAFETY: `jpeg` is a live slice; NOOUTPUT leaves `target` alone; `collect` gets `transform`
    // back, whose `data` points at `found` for the duration of the call.
    let code = unsafe {
        tj::tj3Transform(
            transformer,
            jpeg.as_ptr(),
            jpeg.len() as _,
            1,
            &mut target,
            &mut len,
            &transform,
        )
    };
    // SAFETY: the instance is alive, and so is its message until it is destroyed.
    let message = unsafe { CStr::from_ptr(tj::tj3GetErrorStr(transformer)) };
    let message = message.to_string_lossy().into_owned();
    // SAFETY: the instance was made above and is destroyed once.
    unsafe { tj::tj3Destroy(transformer) };
    assert!(
        code == 0 || message.contains("extraneous bytes before marker 0xd9"),
        "{message}"
    );
    found
}

/// Called for every row of blocks of every component.
unsafe extern "C" fn collect(
    coefficients: *mut c_short,
    row: tj::tjregion,
    plane: tj::tjregion,
    component: c_int,
    _transform_ix: c_int,
    transform: *mut tj::tjtransform,
) -> c_int {
    if row.y >= plane.h {
        return 0; // rows that only fill up the last MCU
    }
    // SAFETY: `coefficients` put a pointer to its result there, which nothing else uses meanwhile.
    let found = unsafe { &mut *(*transform).data.cast::<Vec<Vec<i16>>>() };
    // SAFETY: TurboJPEG promises `row.w * row.h` coefficients.
    let values = unsafe { std::slice::from_raw_parts(coefficients, (row.w * row.h) as usize) };
    let component = component as usize;
    if found.len() <= component {
        found.resize(component + 1, Vec::new());
    }
    found[component].extend_from_slice(values);
    0
}
