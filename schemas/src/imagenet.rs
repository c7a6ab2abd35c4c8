//! How pixels are normalised for a network: by the statistics of ImageNet (RECIPE 1.1), for values
//! in 0..1. Sampler and trainer share them.

/// Mean of the channels red, green and blue.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Their standard deviation.
pub const STD: [f32; 3] = [0.229, 0.224, 0.225];
