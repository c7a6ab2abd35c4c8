//! Sizes beyond which an image is not decoded.

use schemas::geom::Size;

use crate::defect::{Defect, Result};

/// # Errors
/// [`Defect`] if an image of `size` cannot be stored: JPEG ends at 65,500 pixels a side.
pub(crate) fn check_size(size: Size, max_pixels: u64) -> Result<()> {
    const MAX_SIDE_PX: u32 = 65_500;
    if size.width > MAX_SIDE_PX || size.height > MAX_SIDE_PX || size.area() > max_pixels {
        let detail =
            format!("{size} pixels; the limits are {MAX_SIDE_PX} a side and {max_pixels} in all");
        return Err(Defect::new("too-large", detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_jpeg_or_the_limit_are_refused() {
        assert!(check_size(Size::new(65_500, 1), 1 << 20).is_ok());
        assert_eq!(
            check_size(Size::new(65_501, 1), 1 << 20)
                .unwrap_err()
                .reason,
            "too-large"
        );
        assert!(check_size(Size::new(1025, 1024), 1 << 20).is_err());
    }
}
