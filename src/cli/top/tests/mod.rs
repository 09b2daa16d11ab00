//! The terminal drawn into memory.

#![allow(clippy::unwrap_used, reason = "tests")]

mod fixtures;

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend, style::Color};

use super::{
    app::{App, Screen, TICKS_MAX, lines},
    source::{Away, News, Picture},
    text, view,
};
use crate::client::pb;
use fixtures::{listed, odd, picture};

fn terminal(app: &App, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, app)).unwrap();
    terminal
}

fn screen(app: &App, width: u16, height: u16) -> String {
    terminal(app, width, height).backend().to_string()
}

fn press(app: &mut App, code: KeyCode) {
    app.press(KeyEvent::new(code, KeyModifiers::NONE));
}

fn hear(app: &mut App, news: News) {
    app.hear(news, Instant::now());
}

fn show(app: &mut App, picture: Picture) {
    hear(app, News::Pool(Box::new(picture)));
}

fn away() -> News {
    News::Away(Away { unavailable: true, why: "connection refused".into() })
}

fn opened() -> App {
    let mut app = App::new("localhost:50051".into(), Some("pools/faces".into()), true);
    show(&mut app, picture("faces", 0..100));
    app
}

#[test]
fn a_pool_is_chosen_from_the_list_and_left_again() {
    for (width, height) in [(80, 24), (120, 40)] {
        let mut app = App::new("localhost:50051".into(), None, true);
        assert!(screen(&app, width, height).contains("Waiting"));
        hear(&mut app, News::Pools(Vec::new()));
        assert!(screen(&app, width, height).contains("hardneg pool create"));
        let pools = || vec![listed("faces", 1, 0), listed("words", 2, 0)];
        hear(&mut app, News::Pools(pools()));
        let list = screen(&app, width, height);
        for text in ["localhost:50051", "faces", "words", "123k / 1.00M", "40.0 MB", "Enter open"] {
            assert!(list.contains(text), "{text}\n{list}");
        }
        press(&mut app, KeyCode::Down);
        press(&mut app, KeyCode::Char('j'));
        // The mark stays on its pool.
        let mut more = pools();
        more.insert(0, listed("animals", 3, 0));
        hear(&mut app, News::Pools(more));
        press(&mut app, KeyCode::Enter);
        assert_eq!(app.open.as_deref(), Some("words"));
        assert!(screen(&app, width, height).contains("Waiting for the figures of words"));
        // Late news of the list and of another pool change nothing.
        hear(&mut app, News::Pools(pools()));
        show(&mut app, picture("faces", 0..1));
        hear(&mut app, News::Gone("faces".into()));
        assert!(app.picture.is_none() && app.notice.is_none() && app.open.is_some());
        press(&mut app, KeyCode::Esc);
        assert_eq!((app.open.as_deref(), app.done), (None, false));
        press(&mut app, KeyCode::Char('q'));
        assert!(app.done);
    }
}

#[test]
fn control_c_quits_from_anywhere() {
    let mut app = opened();
    app.help = true;
    press(&mut app, KeyCode::Char('c'));
    assert!(!app.done);
    app.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(app.done);
}

#[test]
fn rates_of_the_list_are_between_two_looks() {
    let mut app = App::new(String::new(), None, true);
    let start = Instant::now();
    app.hear(News::Pools(vec![listed("faces", 1, 500)]), start);
    assert_eq!(app.pools.as_ref().unwrap()[0].rows_per_second, None);
    app.hear(News::Pools(vec![listed("faces", 1, 1_500)]), start + Duration::from_secs(2));
    assert_eq!(app.pools.as_ref().unwrap()[0].rows_per_second, Some(500.0));
    // A pool that was created again under the same name has no past ticks.
    app.hear(News::Pools(vec![listed("faces", 2, 10)]), start + Duration::from_secs(4));
    assert_eq!(app.pools.as_ref().unwrap()[0].rows_per_second, None);
}

#[test]
fn every_screen_shows_its_figures() {
    let mut app = opened();
    for (width, height) in [(80, 24), (120, 40)] {
        press(&mut app, KeyCode::Char('1'));
        let overview = screen(&app, width, height);
        for text in [
            "faces",
            "live: reported to and mined",
            "123k / 1.00M",
            "4.10k",
            "7",
            "25.0 %",
            "400 µs",
            "2.10 ms",
            "has room",
            "1 of 2",
            "by score",
            "served █",
            "100 %",
            "█",
        ] {
            assert!(overview.contains(text), "{text}\n{overview}");
        }
        assert_eq!(overview.contains("by age"), width == 120, "{overview}");
        press(&mut app, KeyCode::Tab);
        let samples = screen(&app, width, height);
        assert!(samples.contains("4711") && samples.contains("cat.jpg"), "{samples}");
        press(&mut app, KeyCode::Char('3'));
        let workers = screen(&app, width, height);
        assert!(workers.contains("rank-0") && workers.contains("99 s"), "{workers}");
        press(&mut app, KeyCode::Char('?'));
        assert!(screen(&app, width, height).contains("What a healthy state looks like"));
        press(&mut app, KeyCode::Char('x'));
        assert!(!app.help);
        assert_eq!(app.screen, Screen::Workers);
    }
    assert!(screen(&app, 50, 12).contains("needs 60 x 16"));
    press(&mut app, KeyCode::Char('1'));
    let small = screen(&app, 60, 16);
    for text in ["123k / 1.00M", "25.0 %", "2.10 ms", "1 of 2", "has room"] {
        assert!(small.contains(text), "{text}\n{small}");
    }
}

#[test]
fn the_header_tells_the_run_of_a_pool_that_ages_by_steps() {
    let mut app = opened();
    let without = screen(&app, 120, 30);
    assert!(!without.lines().next().unwrap().contains("step"), "{without}");
    for (run_id, expected) in [("", "step 12"), ("exp\u{1b}-7", "run exp")] {
        let mut picture = picture("faces", 0..3);
        picture.stats.run = Some(pb::Run { run_id: run_id.into(), step: 12, ..Default::default() });
        show(&mut app, picture);
        let header = screen(&app, 120, 30).lines().next().unwrap().to_owned();
        assert!(header.contains(expected) && header.contains("step 12"), "{header}");
        assert!(!header.contains('\u{1b}'));
    }
}

#[test]
fn a_silent_worker_stands_out_with_and_without_colour() {
    for color in [true, false] {
        let mut app = opened();
        app.color = color;
        app.screen = Screen::Workers;
        let terminal = terminal(&app, 80, 24);
        let buffer = terminal.backend().buffer();
        let row = |name: &str| {
            let line = |y: u16| (0..80).map(|x| buffer[(x, y)].symbol()).collect::<String>();
            (0..24).find(|y| line(*y).contains(name)).unwrap()
        };
        let style = |name: &str| buffer[(1, row(name))].style();
        assert_ne!(style("rank-0"), style("rank-1"));
        let colors = buffer.content().iter().filter(|cell| cell.fg != Color::Reset).count();
        assert_eq!(colors > 0, color);
        assert!(!terminal.backend().to_string().contains('\u{1b}'));
    }
}

#[test]
fn a_server_that_goes_leaves_the_last_figures_and_a_pool_that_goes_the_list() {
    for (width, height) in [(80, 24), (120, 40)] {
        let mut app = opened();
        hear(&mut app, away());
        let screen_away = screen(&app, width, height);
        for text in ["server away, retrying", "connection refused", "123k"] {
            assert!(screen_away.contains(text), "{text}\n{screen_away}");
        }
        assert!(!screen_away.contains("live"), "{screen_away}");
        show(&mut app, picture("faces", 100..101));
        assert!(screen(&app, width, height).contains("live"));
        hear(&mut app, News::Gone("faces".into()));
        assert_eq!(app.open, None);
        assert!(screen(&app, width, height).contains("The pool faces is gone"));
        press(&mut app, KeyCode::Down);
        assert!(!screen(&app, width, height).contains("is gone"));
    }
    let mut list = App::new(String::new(), None, true);
    hear(&mut list, News::Pools(vec![listed("faces", 1, 0)]));
    hear(&mut list, away());
    let text = screen(&list, 80, 24);
    assert!(text.contains("server away") && text.contains("faces"), "{text}");
}

#[test]
fn the_past_grows_by_what_is_new_and_is_bounded() {
    let mut app = opened();
    show(&mut app, picture("faces", 98..103));
    let seconds = |app: &App| -> Vec<i64> {
        app.picture.as_ref().unwrap().activity.ticks.iter().map(|t| t.time.unwrap().seconds).collect()
    };
    assert_eq!(seconds(&app), (0..103).collect::<Vec<_>>(), "no tick twice");
    show(&mut app, picture("faces", 103..1_000));
    assert_eq!(seconds(&app), (1_000 - TICKS_MAX as i64..1_000).collect::<Vec<_>>());
    let mut other = picture("faces", 5..6);
    other.stats.uid = 2;
    show(&mut app, other);
    assert_eq!(seconds(&app), [5], "a pool made anew has no past");
}

#[test]
fn long_tables_scroll_and_stop_at_their_end() {
    let mut app = opened();
    let mut many = picture("faces", 100..101);
    many.activity.workers = (0..64)
        .map(|n| pb::WorkerActivity { worker_id: format!("host-{n:02}"), ..Default::default() })
        .collect();
    show(&mut app, many);
    press(&mut app, KeyCode::Char('3'));
    assert!(!screen(&app, 80, 24).contains("host-63"));
    for _ in 0..10 {
        press(&mut app, KeyCode::PageDown);
    }
    assert!(screen(&app, 80, 24).contains("host-63"));
    // When most of them leave, what is left is seen.
    show(&mut app, picture("faces", 101..102));
    assert!(screen(&app, 80, 24).contains("rank-1"));
}

#[test]
fn no_size_and_no_number_breaks_it() {
    let mut list = App::new("s".repeat(200), None, true);
    hear(&mut list, News::Pools(vec![listed("faces", 1, 0)]));
    for shown in [picture("faces", 0..300), Picture::default(), odd()] {
        let mut app = opened();
        hear(&mut app, away());
        app.picture = Some(shown);
        for (page, help) in Screen::ALL.into_iter().flat_map(|page| [(page, false), (page, true)]) {
            (app.screen, app.help, app.scroll) = (page, help, if help { 7 } else { 0 });
            for (width, height) in (1..=200).step_by(13).zip((1..=60).step_by(4)) {
                screen(&app, width, height);
                screen(&app, 201 - width, height);
                screen(&list, width, height);
            }
            for (width, height) in [(3, 50), (59, 16), (60, 16), (61, 17), (80, 24), (200, 16), (60, 60)] {
                screen(&app, width, height);
                screen(&list, width, height);
            }
        }
    }
}

#[test]
fn one_look_as_text() {
    let once = text::pool("localhost:50051", &picture("faces", 0..100));
    for text in ["localhost:50051", "pools/faces", "mine p99", "rank-0", "cat.jpg", "123k / 1.00M", "25.0 %"]
    {
        assert!(once.contains(text), "{text}\n{once}");
    }
    assert!(!once.contains('\u{1b}'), "no escape sequence of a worker's name");
    text::pool("", &odd());
    assert!(text::pools(&[]).contains("hardneg pool create"));
    let first = lines(vec![listed("faces", 1, 0)], &[], 0.0);
    assert!(text::pools(&lines(vec![listed("faces", 1, 100)], &first, 2.0)).contains("50"));
}
