//! Where lines come from: an edited line on a terminal, or a pipe without a prompt. Reading waits,
//! so it has a thread of its own.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{fs, io, thread};

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use tokio::sync::mpsc;

use super::complete::Names;
use crate::failure::Failure;

/// The most lines that the history keeps.
const HISTORY_MAX: usize = 10_000;

/// What was typed.
#[derive(Debug)]
pub(super) enum Input {
    Line(String),
    /// The line was given up.
    Cancelled,
    End,
    Failed(String),
}

/// Reads lines when it is asked for one.
pub(super) struct Keyboard {
    prompts: Sender<String>,
    input: mpsc::UnboundedReceiver<Input>,
    /// Prints above the line that is edited. It can have to wait for the next line, so it has a
    /// thread too.
    above: Option<Sender<String>>,
    editing: bool,
    is_terminal: bool,
    /// The lines of earlier sessions.
    pub(super) history: Vec<String>,
}

impl Keyboard {
    /// Reads from the terminal if there is one, with what can be completed, else from stdin.
    pub(super) fn start(names: Names) -> Result<Keyboard, Failure> {
        let (prompts, asked) = channel();
        let (lines, input) = mpsc::unbounded_channel();
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let history = Vec::new();
        let mut keyboard = Keyboard { prompts, input, above: None, editing: false, is_terminal, history };
        if !is_terminal {
            thread::spawn(move || read(&asked, &lines));
            return Ok(keyboard);
        }
        let mut editor = editor(names)
            .map_err(|error| Failure::failed(format!("the terminal cannot be used: {error}")))?;
        let history = history_file();
        if let Some(file) = &history {
            // Nothing is there the first time.
            let _ = editor.load_history(file);
        }
        keyboard.history = editor.history().iter().cloned().collect();
        // Without a real terminal there is no line to be kept whole.
        keyboard.above = editor.create_external_printer().ok().map(print_above);
        thread::spawn(move || edit(editor, history, &asked, &lines));
        Ok(keyboard)
    }

    /// Whether somebody types, and can give up a line.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Asks for a line. The prompt is not shown where the lines come from a pipe.
    pub(super) fn ask(&mut self, prompt: String) {
        self.editing = true;
        // If the thread has ended it has said why.
        let _ = self.prompts.send(prompt);
    }

    /// The line that was asked for.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Input {
        let input = self.input.recv().await;
        self.editing = false;
        input.unwrap_or(Input::End)
    }

    /// Prints a line on stdout, above the one that is edited.
    pub(super) fn print(&self, line: &str) -> Result<(), Failure> {
        match &self.above {
            Some(above) if self.editing => {
                // The thread lives as long as this.
                let _ = above.send(format!("{line}\n"));
                Ok(())
            }
            _ => crate::print(line),
        }
    }
}

fn read(asked: &Receiver<String>, lines: &mpsc::UnboundedSender<Input>) {
    let mut stdin = io::stdin().lock();
    while asked.recv().is_ok() {
        let mut line = Vec::new();
        let input = match stdin.read_until(b'\n', &mut line) {
            Ok(0) => Input::End,
            Ok(_) => Input::Line(String::from_utf8_lossy(&line).into_owned()),
            Err(error) => Input::Failed(format!("stdin cannot be read: {error}")),
        };
        if lines.send(input).is_err() {
            return;
        }
    }
}

type LineEditor = Editor<Names, FileHistory>;

fn editor(names: Names) -> rustyline::Result<LineEditor> {
    let config = Config::builder()
        .max_history_size(HISTORY_MAX)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(rustyline::CompletionType::List)
        .auto_add_history(true)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(names));
    Ok(editor)
}

fn edit(
    mut editor: LineEditor,
    history: Option<PathBuf>,
    asked: &Receiver<String>,
    lines: &mpsc::UnboundedSender<Input>,
) {
    while let Ok(prompt) = asked.recv() {
        let input = match editor.readline(&prompt) {
            Ok(line) => Input::Line(line),
            Err(ReadlineError::Interrupted) => Input::Cancelled,
            Err(ReadlineError::Eof) => Input::End,
            Err(error) => Input::Failed(format!("the terminal cannot be read: {error}")),
        };
        if let Some(file) = &history
            && let Err(error) = editor.append_history(file)
        {
            tracing::warn!(file = %file.display(), %error, "the history cannot be written");
        }
        if lines.send(input).is_err() {
            return;
        }
    }
}

fn print_above(mut printer: impl ExternalPrinter + Send + 'static) -> Sender<String> {
    let (sender, texts) = channel::<String>();
    thread::spawn(move || {
        for text in texts {
            if let Err(error) = printer.print(text) {
                tracing::warn!(%error, "the terminal cannot be written");
            }
        }
    });
    sender
}

/// `$XDG_STATE_HOME/aemp/shell_history`, else below `~/.local/state`; none if its folder cannot be
/// made. Only its owner may read it: the editor sees to that.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let folder = state.join("aemp");
    match fs::create_dir_all(&folder) {
        Ok(()) => Some(folder.join("shell_history")),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "the history of the shell cannot be kept");
            None
        }
    }
}
