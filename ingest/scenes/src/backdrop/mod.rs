//! Paints sky, ground and buildings by casting a ray for every pixel.
//!
//! The camera is level, so all pixels of a column look in one direction over the ground: the
//! buildings of a column are found once, and a pixel only asks which of them is high enough to be
//! in its way. Every pixel is painted and labelled.

mod facade;
mod ground;
mod ray;
mod sky;

use crate::camera::Camera;
use crate::class::Class;
use crate::light::Light;
use crate::street::Street;
use ray::{Hit, Shade, hit};

/// The walls that one image column looks at.
struct Column {
    /// Ground direction per metre of depth.
    ray: [f32; 2],
    /// Range in `Backdrop::hits`, near to far, each higher in the picture than those before.
    hits: std::ops::Range<usize>,
    sky: sky::Column,
}

/// The fixed scene as one camera sees it.
struct Backdrop<'a> {
    street: &'a Street,
    light: &'a Light,
    camera: &'a Camera,
    columns: Vec<Column>,
    hits: Vec<Hit>,
}

/// Paints the whole picture: `color` is RGBA, `labels` (also RGBA, the id in every colour channel)
/// is left out where nobody asks.
pub(crate) fn paint(
    street: &Street,
    light: &Light,
    camera: &Camera,
    color: &mut [u8],
    mut labels: Option<&mut [u8]>,
) {
    let backdrop = Backdrop::new(street, light, camera);
    let row_bytes = camera.size.width as usize * 4;
    for row in 0..camera.size.height as usize {
        let start = row * row_bytes;
        let (above, rest) = color.split_at_mut(start);
        let middle = row as f32 + 0.5;
        let ground = ground::Row::new(street, light, camera, middle);
        for (ix, column) in backdrop.columns.iter().enumerate() {
            let (mut shade, class) = backdrop.shade(column, middle, ground.as_ref());
            if light.is_wet() && class == Class::Road {
                shade = ground::mirror(shade, camera, above, [ix, row]);
            }
            let [r, g, b] = shade.to_bytes();
            rest[ix * 4..ix * 4 + 4].copy_from_slice(&[r, g, b, 255]);
            if let Some(labels) = labels.as_deref_mut() {
                let id = class.id();
                labels[start + ix * 4..start + ix * 4 + 4].copy_from_slice(&[id, id, id, 255]);
            }
        }
    }
}

impl<'a> Backdrop<'a> {
    fn new(street: &'a Street, light: &'a Light, camera: &'a Camera) -> Self {
        let mut backdrop = Self {
            street,
            light,
            camera,
            columns: Vec::new(),
            hits: Vec::new(),
        };
        for ix in 0..camera.size.width {
            let ray = camera.ray_of_column(ix as f32 + 0.5);
            let next = camera.ray_of_column(ix as f32 + 1.5);
            let start = backdrop.hits.len();
            backdrop.find_walls(ray, next);
            let sky = sky::Column::new(street, light, camera, ray);
            backdrop.columns.push(Column {
                ray,
                hits: start..backdrop.hits.len(),
                sky,
            });
        }
        backdrop
    }

    /// Appends the walls along `ray` that nearer ones do not hide.
    fn find_walls(&mut self, ray: [f32; 2], next: [f32; 2]) {
        let start = self.hits.len();
        let walls = self.street.buildings.iter().enumerate();
        self.hits
            .extend(walls.filter_map(|(ix, b)| hit(self.camera, self.light, ix, b, ray, next)));
        self.hits[start..].sort_by(|a, b| a.depth.total_cmp(&b.depth));
        let (mut kept, mut top) = (start, f32::INFINITY);
        for ix in start..self.hits.len() {
            if self.hits[ix].roof_row < top {
                top = self.hits[ix].roof_row;
                self.hits.swap(kept, ix);
                kept += 1;
            }
        }
        self.hits.truncate(kept);
    }

    /// The pixel of `column` whose middle is at `row`.
    fn shade(&self, column: &Column, row: f32, ground: Option<&ground::Row>) -> Shade {
        let hits = &self.hits[column.hits.clone()];
        if let Some(ground) = ground
            && hits.first().is_none_or(|nearest| row > nearest.base_row)
        {
            return ground.shade(column.ray);
        }
        for (ix, hit) in hits.iter().enumerate() {
            let cover = row - hit.roof_row + 0.5;
            if cover <= 0.0 {
                continue;
            }
            let shade = self.wall(hit, row);
            // The pixel that the roof line crosses is part roof, part what lies behind it.
            if cover < 1.0 {
                let behind = hits.get(ix + 1).map(|h| self.wall(h, row));
                let behind = behind
                    .unwrap_or_else(|| column.sky.shade(self.light, self.camera, column.ray, row));
                let class = if cover >= 0.5 { shade.1 } else { behind.1 };
                return (behind.0.mix(shade.0, cover), class);
            }
            return shade;
        }
        column.sky.shade(self.light, self.camera, column.ray, row)
    }

    fn wall(&self, hit: &Hit, row: f32) -> Shade {
        let building = &self.street.buildings[hit.building];
        let height = self.camera.position[1] + (self.camera.horizon - row) * hit.blur[1].size;
        let color = if row < hit.wall_row {
            facade::roof(
                building,
                hit,
                (hit.wall_row - row) * hit.blur[1].size,
                self.light,
            )
        } else {
            facade::wall(self.street, building, hit, height, self.light)
        };
        (color.mix(self.light.haze, hit.haze), Class::Building)
    }
}
