//! The figure for the README: bars, written by hand, because that is all it is.

use std::fmt::Write;

/// A group of bars under a heading.
pub struct Panel {
    pub heading: String,
    /// Name, and milliseconds of init and of the first invocation.
    pub bars: Vec<(&'static str, f64, f64)>,
}

const WIDTH: f64 = 720.0;
const NAMES: f64 = 130.0;
/// Space for the figures behind the longest bar.
const FIGURES: f64 = 150.0;
const LINE: f64 = 24.0;

/// Legible on white and on black.
const STYLE: &str =
    "text{font:13px system-ui,sans-serif;fill:#7d8590}.h{font-weight:600}.i{fill:#8bb8e8}.f{fill:#2f6fbb}";

pub fn svg(panels: &[Panel]) -> String {
    let (mut body, mut y) = (String::new(), 6.0);
    for panel in panels {
        y = draw(&mut body, panel, y);
    }
    let _ = write!(
        body,
        r#"<rect class="i" x="{NAMES}" y="{y}" width="12" height="12"/><text x="{}" y="{}">init</text><rect class="f" x="{}" y="{y}" width="12" height="12"/><text x="{}" y="{}">first invocation</text>"#,
        NAMES + 18.0,
        y + 11.0,
        NAMES + 70.0,
        NAMES + 88.0,
        y + 11.0
    );
    let height = y + 22.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Cold start compared\"><style>{STYLE}</style>\n{body}\n</svg>\n"
    )
}

fn draw(body: &mut String, panel: &Panel, top: f64) -> f64 {
    let longest = panel.bars.iter().map(|(_, init, first)| init + first).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - NAMES - FIGURES) / longest;
    let ours = panel.bars.first().map_or(0.0, |(_, init, first)| init + first);
    let _ = writeln!(body, r#"<text class="h" x="0" y="{}">{}</text>"#, top + 14.0, panel.heading);
    let mut y = top + LINE;
    for (name, init, first) in &panel.bars {
        let (init_width, first_width, total) = (init * scale, first * scale, init + first);
        let times =
            if (total - ours).abs() < f64::EPSILON { String::new() } else { format!(", {:.1}×", total / ours) };
        let _ = writeln!(
            body,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{name}</text><rect class="i" x="{NAMES}" y="{y:.1}" width="{init_width:.1}" height="16"/><rect class="f" x="{:.1}" y="{y:.1}" width="{first_width:.1}" height="16"/><text x="{:.1}" y="{:.1}">{total:.0} ms{times}</text>"#,
            NAMES - 8.0,
            y + 13.0,
            NAMES + init_width,
            NAMES + init_width + first_width + 8.0,
            y + 13.0,
        );
        y += LINE;
    }
    y + 10.0
}
