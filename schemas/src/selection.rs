//! Which rows of a catalog are meant, and their values, a few columns at a time.
//!
//! The catalog of ten million frames has gigabytes of values. So nobody reads whole rows of it: a
//! filter sees only the columns that it names and leaves one bit a row; after that every reader
//! takes the columns that it needs, in batches.

use arrow::array::{ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::compute::{and, filter_record_batch};

use crate::catalog::Catalog;
#[cfg(feature = "sql")]
use crate::filter::Filter;
use crate::shard::columns::Rows;
use crate::{Error, Result};

/// Rows of one catalog: all of them, or those that a filter keeps.
#[derive(Clone, Debug)]
pub struct Selection {
    num_rows: u64,
    /// Per batch of the catalog, one bit a row; `None` stands for all rows.
    masks: Option<Vec<BooleanArray>>,
}

impl Selection {
    /// How many rows are meant.
    pub fn num_rows(&self) -> u64 {
        match &self.masks {
            Some(masks) => masks.iter().map(|mask| mask.true_count() as u64).sum(),
            None => self.num_rows,
        }
    }

    /// Positions of these rows in the catalog, ascending.
    pub(crate) fn rows(&self) -> Vec<u32> {
        let Some(masks) = &self.masks else {
            return (0..self.num_rows as u32).collect();
        };
        let mut rows = Vec::with_capacity(self.num_rows() as usize);
        let mut first = 0;
        for mask in masks {
            rows.extend(mask.values().set_indices().map(|row| first + row as u32));
            first += mask.len() as u32;
        }
        rows
    }
}

impl Catalog {
    /// All rows.
    pub fn all(&self) -> Selection {
        Selection {
            num_rows: self.num_frames(),
            masks: None,
        }
    }

    /// The rows that `filter` keeps (all without one).
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`] if the catalog cannot be read, [`Error::Filter`] if the
    /// filter cannot be evaluated.
    #[cfg(feature = "sql")]
    pub fn select(&self, filter: Option<&Filter>) -> Result<Selection> {
        let Some(filter) = filter else {
            return Ok(self.all());
        };
        let batches = self.batches(|name| filter.columns().iter().any(|column| column == name))?;
        let masks = batches
            .map(|batch| filter.mask(&batch?))
            .collect::<Result<_>>()?;
        Ok(Selection {
            masks: Some(masks),
            ..self.all()
        })
    }

    /// Those rows of `selection` that lie in the shards whose numbers `kept` has.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`] if the catalog cannot be read.
    pub fn in_shards(&self, selection: &Selection, kept: &[bool]) -> Result<Selection> {
        let is_kept = |shard: &u32| kept.get(*shard as usize) == Some(&true);
        let batches = self.batches(|name| name == "shard")?.enumerate();
        let masks = batches.map(|(ix, batch)| {
            let batch = batch?;
            let shards = Rows::new(&batch, self.path()).u32s("shard")?.values();
            let mask: BooleanArray = shards.iter().map(|shard| Some(is_kept(shard))).collect();
            let Some(masks) = &selection.masks else {
                return Ok(mask);
            };
            let both = masks.get(ix).and_then(|selected| and(selected, &mask).ok());
            both.ok_or_else(|| Error::damaged(self.path(), "its columns have different lengths"))
        });
        Ok(Selection {
            masks: Some(masks.collect::<Result<_>>()?),
            ..self.all()
        })
    }

    /// The numbers of a column in the rows of `selection`, in catalog order, some rows at a time.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`] if the catalog cannot be read, or has no such column of
    /// this type.
    pub fn numbers<'a, T: ArrowPrimitiveType>(
        &'a self,
        column: &'a str,
        selection: &'a Selection,
    ) -> Result<impl Iterator<Item = Result<PrimitiveArray<T>>> + 'a> {
        let batches = self.column(column, selection)?;
        Ok(batches.map(move |batch| {
            Ok(Rows::new(&batch?, self.path())
                .numbers::<T>(column)?
                .clone())
        }))
    }

    /// The texts of a column, likewise.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub fn texts<'a>(
        &'a self,
        column: &'a str,
        selection: &'a Selection,
    ) -> Result<impl Iterator<Item = Result<StringArray>> + 'a> {
        let batches = self.column(column, selection)?;
        Ok(batches.map(move |batch| Ok(Rows::new(&batch?, self.path()).strings(column)?.clone())))
    }

    fn column<'a>(
        &'a self,
        column: &'a str,
        selection: &'a Selection,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + 'a> {
        let batches = self.batches(move |name| name == column)?;
        Ok(batches.enumerate().map(move |(ix, batch)| {
            let Some(masks) = &selection.masks else {
                return batch;
            };
            let batch = batch?;
            let mask = masks.get(ix).filter(|mask| mask.len() == batch.num_rows());
            let mask = mask
                .ok_or_else(|| Error::damaged(self.path(), "its columns have different lengths"))?;
            Ok(filter_record_batch(&batch, mask).expect("as many bits as rows"))
        }))
    }
}
