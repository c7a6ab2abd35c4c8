//! Bytes from rank to rank, over Gloo.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::Ranks;

impl Ranks {
    /// What every rank has, by rank; lengths may differ. Every rank gets all of it.
    ///
    /// # Errors
    /// If a rank does not answer.
    pub fn gather_bytes(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        let Some(group) = self.group() else {
            return Ok(vec![mine.to_vec()]);
        };
        let lengths = group.gather(&Tensor::from_slice(&[mine.len() as i64]))?;
        let lengths = Vec::<i64>::try_from(lengths)?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let padded = Tensor::zeros([1, longest.max(1)], (Kind::Uint8, Device::Cpu));
        padded
            .get(0)
            .narrow(0, 0, mine.len() as i64)
            .copy_(&Tensor::from_slice(mine));
        let rows = group.gather(&padded)?;
        let row = |(rank, length): (i64, i64)| Ok(bytes(&rows.get(rank).narrow(0, 0, length))?);
        (0..).zip(lengths).map(row).collect()
    }

    /// The bytes that rank 0 has, on every rank; those of the others count for nothing.
    ///
    /// # Errors
    /// If a rank does not answer.
    pub fn bytes_of_first(&self, bytes_here: Vec<u8>) -> Result<Vec<u8>> {
        let Some(group) = self.group() else {
            return Ok(bytes_here);
        };
        let length = Tensor::from_slice(&[bytes_here.len() as i64]);
        group.broadcast(&length)?;
        if length.int64_value(&[0]) == 0 {
            return Ok(Vec::new());
        }
        let sent = match self.is_first() {
            true => Tensor::from_slice(&bytes_here),
            false => Tensor::zeros([length.int64_value(&[0])], (Kind::Uint8, Device::Cpu)),
        };
        group.broadcast(&sent)?;
        Ok(bytes(&sent)?)
    }
}

fn bytes(x: &Tensor) -> Result<Vec<u8>, tch::TchError> {
    Vec::try_from(x.contiguous())
}
