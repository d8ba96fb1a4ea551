//! A safetensors file as named tensors, each checked against the shape that it must have.

use std::path::{Path, PathBuf};

use burn::{
    store::{ModuleStore, SafetensorsStore, bridge},
    tensor::{Device, Tensor},
};

use super::fault::ModelFault;

/// The open file. Tensors keep the names that they have in it.
pub(crate) struct Weights {
    path: PathBuf,
    store: SafetensorsStore,
    device: Device,
    bytes: u64,
}

impl Weights {
    /// Opens `path`; tensors go to `device`.
    pub(crate) fn open(path: &Path, device: Device) -> Self {
        Self {
            path: path.to_owned(),
            store: SafetensorsStore::from_file(path),
            device,
            bytes: 0,
        }
    }

    /// Bytes of the tensors that have been taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The tensor `name`, in `f32` whatever the file holds, of exactly `shape`.
    ///
    /// # Errors
    /// When the file is damaged, or lacks the tensor, or has it in another shape.
    pub(crate) fn tensor<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<D>, ModelFault> {
        let unreadable = |path: &Path, reason: String| ModelFault::Weights {
            path: path.to_owned(),
            reason,
        };
        let found = self
            .store
            .get_tensor(name)
            .map_err(|error| unreadable(&self.path, error.to_string()))?
            .ok_or_else(|| ModelFault::Missing {
                path: self.path.clone(),
                tensor: name.to_owned(),
            })?;
        if found.shape.to_vec() != shape {
            return Err(ModelFault::Shape {
                path: self.path.clone(),
                tensor: name.to_owned(),
                wanted: shape.to_vec(),
                found: found.shape.to_vec(),
            });
        }
        let data = bridge::to_data(found)
            .map_err(|error| unreadable(&self.path, format!("tensor `{name}`: {error}")))?;
        let taken = shape.iter().product::<usize>() * size_of::<f32>();
        self.bytes += u64::try_from(taken).unwrap_or(u64::MAX);
        Ok(Tensor::from_data(data.convert::<f32>(), &self.device))
    }
}
