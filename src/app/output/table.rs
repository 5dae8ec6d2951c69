//! Tables for people: one line for each row, narrow enough for the terminal.

use super::lines::Lines;
use crate::base::text::value;
use chrono::TimeDelta;
use console::Style;
use std::io::IsTerminal;

/// Width without a terminal, in columns.
const WIDTH: usize = 80;

/// Width and colours of stdout.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Number of columns.
    pub width: usize,
    /// `true` if colours are wanted.
    pub colour: bool,
}

impl Screen {
    /// Returns those of stdout. Only a terminal has colours, unless `NO_COLOR` is set.
    pub fn stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { width: width.filter(|w| terminal && *w > 0).unwrap_or(WIDTH), colour: terminal && !no_colour }
    }
}

/// One column. Its cells have no spaces, except in the last one.
#[derive(Debug)]
pub struct Column {
    /// Title.
    pub title: &'static str,
    /// `true` to align to the right.
    pub right: bool,
    /// Order in which columns are left out of a table that is too wide, if this one may be.
    pub optional: Option<u8>,
    /// The cells, with their styles.
    pub cells: Vec<(String, Style)>,
}

impl Column {
    /// Returns a column that is always shown, aligned to the left.
    pub fn new(title: &'static str, cells: impl Iterator<Item = String>) -> Self {
        Self { title, right: false, optional: None, cells: cells.map(|cell| (cell, Style::new())).collect() }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|(cell, _)| cell.chars().count()).fold(self.title.len(), usize::max)
    }
}

/// Returns `columns` as a table, without optional columns that do not fit.
pub fn table(mut columns: Vec<Column>, screen: Screen) -> Lines {
    columns.iter_mut().flat_map(|column| &mut column.cells).for_each(|(cell, _)| *cell = value(cell));
    let fits = |columns: &[Column], gap: usize| {
        columns.iter().map(|column| column.width() + gap).sum::<usize>() <= screen.width + gap
    };
    while !fits(&columns, 1) {
        let next = (0..columns.len()).filter(|i| columns[*i].optional.is_some()).min_by_key(|i| columns[*i].optional);
        let Some(next) = next else { break };
        columns.remove(next);
    }
    let gap = if fits(&columns, 2) { "  " } else { " " };
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let plain = Style::new();
    let row = |cell: &dyn Fn(&Column) -> (String, Style)| {
        let mut line = String::new();
        for (n, column) in columns.iter().enumerate() {
            let (width, (text, style)) = (column.width(), cell(column));
            let padding = " ".repeat(width.saturating_sub(text.chars().count()));
            let text = style.force_styling(screen.colour).apply_to(text).to_string();
            let text = if column.right { padding + &text } else { text + &padding };
            line = line + if n == 0 { "" } else { gap } + &text;
        }
        line.truncate(line.trim_end().len());
        line + "\n"
    };
    let title = row(&|column| (column.title.to_owned(), plain.clone()));
    let rows = (0..rows).map(|n| row(&|column| column.cells.get(n).cloned().unwrap_or_default()));
    // The cells are printable, and the styles are ours.
    Lines::fixed(rows.fold(title, |all, row| all + &row))
}

/// Returns an age in its largest unit: `3d`.
pub fn age(age: TimeDelta) -> String {
    match age.to_std() {
        Err(_) => "future".to_owned(),
        Ok(age) => match age.as_secs() {
            s @ 0..=119 => format!("{s}s"),
            s @ 120..=7_199 => format!("{}m", s / 60),
            s @ 7_200..=172_799 => format!("{}h", s / 3_600),
            s @ 172_800..=86_399_999 => format!("{}d", s / 86_400),
            s => format!("{}y", s / 31_557_600),
        },
    }
}

/// Returns a size with two digits at least, without a space: `1.2MiB`, `340MiB`.
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1_024.0, larger);
    }
    let decimals = usize::from(unit != "B" && value < 9.95);
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_short() {
        let ages =
            [59, 7_199, 7_200, 172_799, 3 * 86_400, 999 * 86_400, 1_100 * 86_400].map(|s| age(TimeDelta::seconds(s)));
        assert_eq!(ages, ["59s", "119m", "2h", "47h", "3d", "999d", "3y"]);
        assert_eq!(age(TimeDelta::seconds(-1)), "future");
        let sizes = [0, 999, 1_000, 1_263_000, 10_485_760, 1_047_000_000, 1_048_000_000].map(size);
        assert_eq!(sizes, ["0B", "999B", "1.0KiB", "1.2MiB", "10MiB", "998MiB", "999MiB"]);
        assert_eq!(size(u64::MAX), "16384PiB");
    }

    fn columns() -> Vec<Column> {
        let cells = |cells: [&'static str; 2]| cells.into_iter().map(str::to_owned);
        vec![
            Column::new("NAME", cells(["aaaaaa", "b"])),
            Column { right: true, optional: Some(1), ..Column::new("AGE", cells(["3d", "14d"])) },
            Column { optional: Some(0), ..Column::new("DATE", cells(["2025-11-26", "-"])) },
        ]
    }

    #[test]
    fn optional_columns_are_left_out_of_a_narrow_table() {
        let at = |width| table(columns(), Screen { width, colour: false }).to_string();
        assert_eq!(at(23), "NAME    AGE  DATE\naaaaaa   3d  2025-11-26\nb       14d  -\n");
        assert_eq!(at(21), "NAME   AGE DATE\naaaaaa  3d 2025-11-26\nb      14d -\n");
        assert_eq!(at(20), "NAME    AGE\naaaaaa   3d\nb       14d\n");
        assert_eq!(at(9), "NAME\naaaaaa\nb\n");
        assert_eq!(at(1), "NAME\naaaaaa\nb\n");
    }

    #[test]
    fn colours_do_not_change_the_alignment() {
        let mut columns = columns();
        columns[0].cells[1].1 = Style::new().red();
        let coloured = table(columns, Screen { width: 80, colour: true }).to_string();
        assert!(coloured.ends_with("\u{1b}[31mb\u{1b}[0m       14d  -\n"), "{coloured:?}");
        assert!(!coloured.starts_with('\u{1b}'), "{coloured:?}");
    }
}
