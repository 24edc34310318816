// Waits of Rust, each with its truth: the function that a hung thread is in is named after it.
use std::io::Write;
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::{env, process, thread, time::Duration};

#[inline(never)]
fn lock_both(first: &Mutex<u64>, second: &Mutex<u64>) -> u64 {
    let held = first.lock().unwrap();
    thread::sleep(Duration::from_millis(200));
    let sum = *held + *second.lock().unwrap();
    println!("{sum}");
    sum
}

#[inline(never)]
fn next_batch(batches: &mpsc::Receiver<u64>) {
    println!("{:?}", batches.recv());
}

#[inline(never)]
fn wait_for_batch() {
    let (there, changed) = (Mutex::new(false), Condvar::new());
    let mut held = there.lock().unwrap();
    while !*held {
        held = changed.wait(held).unwrap();
    }
    println!("batch");
}

#[inline(never)]
fn join_loader() {
    let loader = thread::Builder::new().name("loader".into()).spawn(wait_for_batch).unwrap();
    println!("{:?}", loader.join());
}

fn main() {
    println!("{}", process::id());
    std::io::stdout().flush().unwrap();
    match env::args().nth(1).unwrap().as_str() {
        "mutex" => {
            let (one, two) = (Arc::new(Mutex::new(1)), Arc::new(Mutex::new(2)));
            let (three, four) = (two.clone(), one.clone());
            let saver = thread::Builder::new().name("saver".into());
            let saver = saver.spawn(move || lock_both(&three, &four)).unwrap();
            lock_both(&one, &two);
            saver.join().unwrap();
        }
        "channel" => {
            let (sender, batches) = mpsc::channel();
            next_batch(&batches);
            drop(sender);
        }
        "condition" => wait_for_batch(),
        _ => join_loader(),
    }
}
