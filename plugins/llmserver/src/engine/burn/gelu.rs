//! GELU over a tensor's own buffer: portable arithmetic that compilers vectorise, on all cores.
//!
//! The backend's own activation calls a scalar `erf` on one core, which takes as long as the
//! matrix products around it. Here erf is formula 7.1.26 of Abramowitz and Stegun, "Handbook of
//! Mathematical Functions" (absolute error below 1.5e-7), and the exponential in it a polynomial
//! of degree 6 after range reduction, so that the loop has neither calls nor branches.

use std::f32::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E};

use burn::tensor::{Tensor, TensorData};
use rayon::{iter::ParallelIterator, slice::ParallelSliceMut};

/// Elements a task: 64 KiB of floats, within a core's second-level cache.
const CHUNK: usize = 16_384;

/// Applies `x * Phi(x)`, the exact (not the tanh) form, to each element. Shape and type
/// (`f32`) stay. No copy is made where the tensor is the only owner of its buffer.
///
/// # Errors
/// When the tensor does not hold `f32`.
pub(crate) fn gelu(tensor: Tensor<2>) -> Result<Tensor<2>, String> {
    let device = tensor.device();
    let mut data: TensorData = tensor.into_data();
    data.as_mut_slice::<f32>()
        .map_err(|error| error.to_string())?
        .par_chunks_mut(CHUNK)
        .for_each(|chunk| chunk.iter_mut().for_each(|x| *x = gelu_of(*x)));
    Ok(Tensor::from_data(data, &device))
}

#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series =
        0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4)));
    let erf = 1.0 - t * series * exp_of_negative(-z * z);
    0.5 * x * (1.0 + erf.copysign(x))
}

/// `e^x` for `x <= 0`, to about one unit in the last place; below `2^-126` it stays there.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let y = (x * LOG2_E).max(-126.0);
    let shifted = y + ROUND;
    let r = (y - (shifted - ROUND)) * LN_2;
    let p = 1.0
        + r * (1.0
            + r * (0.5
                + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let exponent = shifted.to_bits().wrapping_add(127) << 23;
    p * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// erf by its Taylor series in `f64`, exact enough below 3.
    fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..80 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn agrees_with_the_exact_function_over_the_range_that_matters() {
        for step in -4_000_i16..=4_000 {
            let x = f32::from(step) / 1_000.0;
            let wide = f64::from(x);
            let exact = 0.5 * wide * (1.0 + erf(wide / std::f64::consts::SQRT_2));
            let error = (f64::from(gelu_of(x)) - exact).abs();
            assert!(error < 6e-7, "gelu({x}) is off by {error}");
        }
    }

    #[test]
    fn far_values_are_the_identity_or_zero_and_never_nan() {
        assert_eq!(gelu_of(40.0), 40.0);
        assert_eq!(gelu_of(1e30), 1e30);
        assert!(gelu_of(-40.0).abs() < 1e-6);
        assert_eq!(gelu_of(0.0), 0.0);
        assert!(gelu_of(f32::NAN).is_nan());
    }

    #[test]
    fn every_element_of_a_tensor_longer_than_a_chunk_is_done() {
        let device = Device::flex();
        let values = vec![1.0_f32; CHUNK + 7];
        let data = TensorData::new(values, [1, CHUNK + 7]);
        let out = gelu(Tensor::from_data(data, &device)).unwrap();
        let out = out.into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(out.len(), CHUNK + 7);
        assert!(out.iter().all(|&y| (y - 0.841_344_7).abs() < 1e-6));
    }
}
