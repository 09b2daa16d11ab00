//! The sequence numbers of one worker's process that were applied.

/// Sequences that are remembered one by one: the highest and the 1,023 before it. Older ones are taken for resends.
pub(crate) const WINDOW: u64 = 1024;
/// Words of a window.
pub(crate) const WORDS: usize = (WINDOW / 64) as usize;

/// The remembered sequence numbers of one worker's process.
///
/// A worker may begin at any number; lower numbers within the window were not applied, and are applied when they come. The usual case is a
/// *run*: the last n sequences up to the highest were applied, and none before them in the window. A *gap* is a sequence of the window that
/// was not applied although a lower one was. Only while there is a gap is a bit kept for each sequence of the window, until the missing
/// sequence comes or is older than the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    highest: u64,
    recent: Recent,
}

/// The applied sequences of (highest - [`WINDOW`], highest]. The form is canonical: a run is never stored as a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recent {
    /// No gap: the last so many sequences up to the highest, 1 ..= [`WINDOW`].
    Run(u16),
    /// At least one gap.
    Window(Box<Window>),
}

/// A bit for each sequence of the window: bit s % [`WINDOW`] is set where s was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window([u64; WORDS]);

impl Seen {
    /// A process of which only one sequence, 1 or more, was applied.
    pub(super) fn first(sequence: u64) -> Self {
        Self { highest: sequence, recent: Recent::Run(1) }
    }

    /// Restores a run that [`Self::recent`] returned. `None`: no sequence of reports gives this run.
    pub(crate) fn of_run(highest: u64, run: u16) -> Option<Self> {
        let fits = run > 0 && u64::from(run) <= highest.min(WINDOW);
        fits.then_some(Self { highest, recent: Recent::Run(run) })
    }

    /// Restores a window that [`Self::recent`] returned. `None`: no sequence of reports gives this window.
    pub(crate) fn of_window(highest: u64, words: [u64; WORDS]) -> Option<Self> {
        let window = Window(words);
        // Sequences begin at 1. If the highest is `WINDOW` or more, every bit belongs to a sequence.
        let exist = highest >= WINDOW || (0..WINDOW).all(|s| !window.has(s) || (1..=highest).contains(&s));
        let fits = exist && window.has(highest) && window.run(highest).is_none();
        fits.then(|| Self { highest, recent: Recent::Window(Box::new(window)) })
    }

    /// The highest sequence that was applied.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// The remembered sequences up to the highest.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    pub(super) fn has_window(&self) -> bool {
        matches!(self.recent, Recent::Window(_))
    }

    /// Whether a sequence was applied, or is older than the window.
    pub(super) fn has(&self, sequence: u64) -> bool {
        let Some(behind) = self.highest.checked_sub(sequence) else {
            return false;
        };
        behind >= WINDOW
            || match &self.recent {
                Recent::Run(run) => behind < u64::from(*run),
                Recent::Window(window) => window.has(sequence),
            }
    }

    /// Records a sequence of 1 or more. One that [`Self::has`] changes nothing.
    pub(super) fn enter(&mut self, sequence: u64) {
        if self.has(sequence) {
            return;
        }
        let mut window = match &mut self.recent {
            // The usual case: the next sequence.
            Recent::Run(run) if sequence.checked_sub(self.highest) == Some(1) => {
                *run = (*run + 1).min(WINDOW as u16);
                self.highest = sequence;
                return;
            }
            Recent::Run(run) => Window::of_run(self.highest, *run),
            Recent::Window(window) => (**window).clone(),
        };
        if sequence > self.highest {
            window.move_on(self.highest, sequence);
            self.highest = sequence;
        }
        window.set(sequence);
        match (window.run(self.highest), &mut self.recent) {
            (Some(run), recent) => *recent = Recent::Run(run),
            (None, Recent::Window(old)) => **old = window,
            (None, recent) => *recent = Recent::Window(Box::new(window)),
        }
    }
}

impl Window {
    /// A window in which the `run` sequences up to `highest` are set.
    fn of_run(highest: u64, run: u16) -> Self {
        let mut window = Self::default();
        (0..u64::from(run)).for_each(|behind| window.set(highest - behind));
        window
    }

    pub(crate) fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    fn has(&self, sequence: u64) -> bool {
        self.0[Self::word(sequence)] & Self::bit(sequence) != 0
    }

    fn set(&mut self, sequence: u64) {
        self.0[Self::word(sequence)] |= Self::bit(sequence);
    }

    /// Moves the end of the window from `highest` to `to`. Clears the bits of the sequences between, which belonged to sequences that leave
    /// the window.
    fn move_on(&mut self, highest: u64, to: u64) {
        if to - highest >= WINDOW {
            *self = Self::default();
            return;
        }
        for sequence in highest + 1..=to {
            self.0[Self::word(sequence)] &= !Self::bit(sequence);
        }
    }

    /// The length of the run up to `highest`; `None` if there is a gap.
    fn run(&self, highest: u64) -> Option<u16> {
        let mut run = 0;
        while run < WINDOW as u32 {
            let ones = self.last_64(highest.wrapping_sub(run.into())).leading_ones();
            run += ones;
            if ones < 64 {
                break;
            }
        }
        let set: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        (set == run).then_some(run as u16)
    }

    /// The bits of the 64 sequences up to `sequence`, which is the highest bit.
    fn last_64(&self, sequence: u64) -> u64 {
        let (word, bit) = (Self::word(sequence), (sequence % 64) as u32);
        let before = self.0[(word + WORDS - 1) % WORDS];
        self.0[word] << (63 - bit) | before.checked_shr(bit + 1).unwrap_or(0)
    }

    fn word(sequence: u64) -> usize {
        (sequence % WINDOW / 64) as usize
    }

    fn bit(sequence: u64) -> u64 {
        1 << (sequence % 64)
    }
}
