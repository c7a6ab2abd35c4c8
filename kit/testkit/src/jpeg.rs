//! Tile-addressable JPEGs of any pixels.

use schemas::geom::Size;
use schemas::tiled::embed_index;
use turbojpeg_sys as tj;

/// A tile-addressable JPEG of the RGB triples `rgb`, 4:2:0, with a restart marker behind every
/// `restart_mcus` MCUs, which must divide a row of them.
///
/// # Panics
/// If it is none.
#[expect(
    unsafe_code,
    reason = "the safe wrapper of libjpeg-turbo has no restart intervals"
)]
pub(crate) fn tiled_jpeg(size: Size, rgb: &[u8], quality: i32, restart_mcus: u32) -> Vec<u8> {
    assert_eq!(rgb.len() as u64, size.area() * 3);
    // SAFETY: the handle is checked, the pixels are as long as width, height and format say, and
    // the output belongs to the library until it is freed, after it was copied.
    let jpeg = unsafe {
        let handle = tj::tj3Init(tj::TJINIT_TJINIT_COMPRESS as i32);
        assert!(!handle.is_null());
        let set =
            |param: tj::TJPARAM, value: i32| assert_eq!(tj::tj3Set(handle, param as i32, value), 0);
        set(tj::TJPARAM_TJPARAM_QUALITY, quality);
        set(tj::TJPARAM_TJPARAM_SUBSAMP, tj::TJSAMP_TJSAMP_420);
        set(tj::TJPARAM_TJPARAM_RESTARTBLOCKS, restart_mcus as i32);
        let (mut jpeg, mut len) = (std::ptr::null_mut(), 0);
        let (width, height) = (size.width as i32, size.height as i32);
        let format = tj::TJPF_TJPF_RGB;
        assert_eq!(
            tj::tj3Compress8(
                handle,
                rgb.as_ptr(),
                width,
                0,
                height,
                format,
                &mut jpeg,
                &mut len
            ),
            0
        );
        let bytes = std::slice::from_raw_parts(jpeg, len as usize).to_vec();
        tj::tj3Free(jpeg.cast());
        tj::tj3Destroy(handle);
        bytes
    };
    embed_index(&jpeg).expect("its restart interval divides its rows")
}
