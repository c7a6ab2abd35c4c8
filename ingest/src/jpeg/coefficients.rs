//! Reads the DCT coefficients of a JPEG, to prove that level 0 keeps the original's.
#![expect(
    unsafe_code,
    reason = "libjpeg-turbo hands out coefficients through a callback"
)]

use std::ffi::{c_int, c_short, c_void};

use turbojpeg_sys as tj;

use super::Result;
use super::codec::Handle;

/// The quantised coefficients of every component, block after block, in libjpeg's natural order.
pub(crate) type Coefficients = Vec<Vec<i16>>;

/// Reads those of `jpeg`.
pub(crate) fn read(jpeg: &[u8]) -> Result<Coefficients> {
    let mut transformer = Handle::new(tj::TJINIT_TJINIT_TRANSFORM);
    let mut found: Coefficients = Vec::new();
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
    // SAFETY: `jpeg` is a live slice; NOOUTPUT leaves `target` alone; `collect` gets `transform`
    // back, whose `data` points at `found` for the duration of the call.
    let code = unsafe {
        tj::tj3Transform(
            transformer.raw(),
            jpeg.as_ptr(),
            jpeg.len() as _,
            1,
            &mut target,
            &mut len,
            &transform,
        )
    };
    transformer.check(code)?;
    Ok(found)
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
    // SAFETY: `read` put a pointer to its `Coefficients` there, which nothing else uses meanwhile.
    let found = unsafe { &mut *(*transform).data.cast::<Coefficients>() };
    // SAFETY: TurboJPEG promises `row.w * row.h` coefficients.
    let values = unsafe { std::slice::from_raw_parts(coefficients, (row.w * row.h) as usize) };
    let component = component as usize;
    if found.len() <= component {
        found.resize(component + 1, Vec::new());
    }
    found[component].extend_from_slice(values);
    0
}
