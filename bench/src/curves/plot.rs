//! One plot a curve: both axes logarithmic, so that a cost which does not depend on the number is a
//! flat line.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Curve;

const SIZE: (u32, u32) = (640, 360);

/// Writes the plot of a curve.
///
/// # Errors
///
/// The file cannot be written.
pub(super) fn write(
    path: &Path,
    curve: &Curve,
    points: &[(f64, f64)],
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let fault = |error: &dyn Error| -> Box<dyn Error + Send + Sync> { error.to_string().into() };
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| fault(&error))?;
    let (least, most) =
        points.iter().fold((f64::MAX, 0f64), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let mut chart = ChartBuilder::on(&area)
        .caption(curve.title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d((first..last * 1.2).log_scale(), (least / 3.0..most * 3.0).log_scale())
        .map_err(|error| fault(&error))?;
    chart
        .configure_mesh()
        .x_desc(curve.things)
        .y_desc(curve.unit)
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .light_line_style(RGBColor(235, 235, 235))
        .draw()
        .map_err(|error| fault(&error))?;
    chart
        .draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))
        .map_err(|error| fault(&error))?;
    chart
        .draw_series(points.iter().map(|point| Circle::new(*point, 3, BLUE.filled())))
        .map_err(|error| fault(&error))?;
    area.present().map_err(|error| fault(&error))
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", v / 1e6),
        v if v >= 1e3 => format!("{} k", v / 1e3),
        v => format!("{v}"),
    }
}
