//! `--where`: a SQL expression over the catalog's columns, evaluated by polars one record batch at
//! a time.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, UInt32Type, UInt64Type};
use polars::prelude::{AggExpr, Column, DataFrame, Expr, IntoLazy, NamedFrom, Series, col};
use polars::sql::sql_expr;

use crate::{Error, Result};

/// A parsed expression, such as `camera = 'FRONT' and time_of_day in ('Day', 'Night')`.
#[derive(Clone, Debug)]
pub struct Filter {
    sql: String,
    expression: Expr,
    columns: Vec<String>,
}

/// Columns of the catalog that an expression may use.
const COLUMNS: [&str; 14] = [
    "frame_id",
    "key",
    "source",
    "dataset",
    "split",
    "segment",
    "camera",
    "timestamp_micros",
    "width",
    "height",
    "time_of_day",
    "weather",
    "location",
    "city",
];

impl Filter {
    /// Parses `sql`.
    ///
    /// # Errors
    /// [`Error::Filter`] if it is no SQL expression or names a column that the catalog has not.
    pub fn parse(sql: &str) -> Result<Self> {
        let failed = |detail: String| Error::Filter {
            sql: sql.to_owned(),
            detail,
        };
        let expression = sql_expr(sql)
            .map_err(|error| failed(format!("no SQL expression: {}", first_line(error))))?;
        if expression.into_iter().any(looks_at_other_rows) {
            return Err(failed(
                "it must say something of one frame at a time, so it has no max, count, over, …"
                    .to_owned(),
            ));
        }
        let mut columns: Vec<String> = expression
            .into_iter()
            .filter_map(|part| match part {
                Expr::Column(name) => Some(name.to_string()),
                _ => None,
            })
            .collect();
        columns.sort();
        columns.dedup();
        if let Some(unknown) = columns
            .iter()
            .find(|name| !COLUMNS.contains(&name.as_str()))
        {
            return Err(failed(format!(
                "there is no column {unknown:?}; columns are {}",
                COLUMNS.join(", ")
            )));
        }
        if columns.is_empty() {
            return Err(failed("it names no column".to_owned()));
        }
        Ok(Self {
            sql: sql.to_owned(),
            expression,
            columns,
        })
    }

    /// The catalog's columns that it needs.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Which rows of `batch` it keeps; a null result drops the row, as in SQL.
    pub(crate) fn mask(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let failed = |detail: String| Error::Filter {
            sql: self.sql.clone(),
            detail,
        };
        let columns = self.columns.iter().map(|name| {
            let array = batch
                .column_by_name(name)
                .ok_or_else(|| failed(format!("the catalog lacks column {name}")))?;
            series(name, array)
                .map(Column::from)
                .ok_or_else(|| failed(format!("column {name} has no known type")))
        });
        let frame = DataFrame::new(batch.num_rows(), columns.collect::<Result<Vec<_>>>()?)
            .map_err(|error| failed(first_line(error)))?;
        let kept = frame
            .lazy()
            .select([self.expression.clone().alias("keep")])
            .select([col("keep")])
            .collect()
            .map_err(|error| failed(first_line(error)))?;
        let kept = kept
            .column("keep")
            .and_then(|column| column.bool().cloned());
        let kept = kept.map_err(|_| failed("it is not true or false for a frame".to_owned()))?;
        if kept.len() != batch.num_rows() {
            return Err(failed(
                "it does not say something of every frame".to_owned(),
            ));
        }
        Ok(kept
            .iter()
            .map(|keep| keep == Some(true))
            .collect::<Vec<_>>()
            .into())
    }
}

/// Whether `part` needs more than one row; it would see those of one batch, whatever they happen to
/// be.
fn looks_at_other_rows(part: &Expr) -> bool {
    match part {
        // The list behind `in`.
        Expr::Agg(AggExpr::Implode { input, .. }) => !matches!(**input, Expr::Literal(_)),
        Expr::Agg(_) | Expr::Len | Expr::Over { .. } | Expr::Sort { .. } | Expr::SortBy { .. } => {
            true
        }
        Expr::Gather { .. } | Expr::Filter { .. } | Expr::Slice { .. } | Expr::Explode { .. } => {
            true
        }
        _ => false,
    }
}

fn series(name: &str, array: &dyn Array) -> Option<Series> {
    let name = name.into();
    Some(match array.data_type() {
        DataType::Utf8 => Series::new(name, array.as_string::<i32>().iter().collect::<Vec<_>>()),
        DataType::UInt32 => Series::new(
            name,
            array
                .as_primitive::<UInt32Type>()
                .iter()
                .collect::<Vec<_>>(),
        ),
        DataType::UInt64 => Series::new(
            name,
            array
                .as_primitive::<UInt64Type>()
                .iter()
                .collect::<Vec<_>>(),
        ),
        DataType::Int64 => Series::new(
            name,
            array.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        ),
        _ => return None,
    })
}

fn first_line(error: impl std::fmt::Display) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
