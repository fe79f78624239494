//! A chart for each workload: bars of CPU time, a group for each cell.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::samples::Line;
use crate::tables::{self, Cell};

const WIDTH: u32 = 900;
const BAR: u32 = 16;
const HEAD: u32 = 34;
const FOOT: u32 = 12;
/// Where the bars begin and how long the longest is.
const LEFT: i32 = 150;
const LONGEST: f64 = 560.0;
/// What is ours stands out.
const OURS: RGBColor = RGBColor(200, 80, 20);
const BARE: RGBColor = RGBColor(120, 120, 120);
const OTHERS: RGBColor = RGBColor(70, 110, 170);

pub(crate) fn draw(lines: &[Line], folder: &Path) -> Result<(), Box<dyn Error>> {
    let cells = tables::cells(lines);
    let mut workloads: Vec<&str> = Vec::new();
    for cell in &cells {
        if !workloads.contains(&cell.key.workload.as_str()) {
            workloads.push(&cell.key.workload);
        }
    }
    for workload in workloads {
        let cells: Vec<&Cell<'_>> =
            cells.iter().filter(|cell| cell.key.workload == workload).collect();
        let path = folder.join(format!("{workload}.svg"));
        let height: u32 =
            cells.iter().map(|cell| HEAD + FOOT + BAR * cell.names.len() as u32).sum();
        let area = SVGBackend::new(&path, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut top = 0;
        for cell in cells {
            top = draw_cell(&area, cell, top)?;
        }
        area.present()?;
    }
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws one group of bars below `top`, and returns where the next one begins.
fn draw_cell(area: &Area<'_>, cell: &Cell<'_>, top: i32) -> Result<i32, Box<dyn Error>> {
    // Idle connections have no CPU time; what they take is memory.
    let spread = |name: &str| {
        cell.spread(name, |sample| sample.cpu_ns)
            .or_else(|| cell.spread(name, |sample| sample.memory_bytes))
    };
    let is_time = cell.names.iter().any(|name| cell.spread(name, |sample| sample.cpu_ns).is_some());
    let what = if is_time { "CPU time" } else { "bytes" };
    let head = format!("{}: {} ({what} per {})", cell.key.workload, cell.key.cell, cell.key.unit);
    let bold = ("sans-serif", 15).into_font().style(FontStyle::Bold);
    area.draw(&Text::new(head, (8, top + 12), bold))?;
    let longest = cell.names.iter().filter_map(|name| spread(name)).map(|spread| spread.highest);
    let scale = LONGEST / longest.fold(f64::MIN_POSITIVE, f64::max);
    let mut y = top + HEAD as i32;
    for name in &cell.names {
        let font = ("sans-serif", 12).into_font();
        area.draw(&Text::new((*name).to_owned(), (8, y), font.clone()))?;
        let label = match spread(name) {
            None => "–".to_owned(),
            Some(spread) => {
                let at = |figure: f64| LEFT + (figure * scale) as i32;
                let bar = [(LEFT, y), (at(spread.median), y + BAR as i32 - 4)];
                area.draw(&Rectangle::new(bar, color_of(name).filled()))?;
                let middle = y + BAR as i32 / 2 - 2;
                let whisker = vec![(at(spread.lowest), middle), (at(spread.highest), middle)];
                area.draw(&PathElement::new(whisker, BLACK))?;
                if is_time {
                    tables::time(spread.median)
                } else {
                    format!("{:.0} B", spread.median)
                }
            }
        };
        area.draw(&Text::new(label, (LEFT + LONGEST as i32 + 12, y), font))?;
        y += BAR as i32;
    }
    Ok(y + FOOT as i32)
}

fn color_of(name: &str) -> RGBColor {
    match name {
        _ if name.starts_with("uring") => OURS,
        _ if name.starts_with("bare") => BARE,
        _ => OTHERS,
    }
}
