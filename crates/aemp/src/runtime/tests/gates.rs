//! Gates: what is sent after a loss waits until those who watch have heard of it.

use super::*;

#[tokio::test]
async fn the_port_of_a_call_stays_gated_until_the_caller_hears_of_the_loss() {
    let (node, remote, far) = linked().await;
    // A port that calls: its code is queued behind what it has to do.
    let (sender, mut told) = mpsc::unbounded_channel();
    let (target, gates) = (far.clone(), remote.clone());
    let port = node.port(move |cx: &mut Context<'_>, (): ()| {
        let (sender, gates) = (sender.clone(), gates.clone());
        cx.call(
            &target,
            LIMIT,
            |_: ReplyTo<u64>| ("call",),
            move |_, answer| {
                sender.send((answer.is_err(), gates.outbox.lock().gated_ports())).unwrap();
            },
        );
    });
    node.send(&port, ()).unwrap();
    while remote.outbox.lock().watched_ports() == 0 {
        tokio::task::yield_now().await;
    }
    // This runtime has one thread: nobody hears before the test waits.
    node.break_remote(&remote, "test");
    assert_eq!(remote.outbox.lock().gated_ports(), 1);
    assert_eq!(soon(told.recv()).await, Some((true, 0)));
    // A sender that is not a port.
    node.attach_remote(&remote, LinkId::dialled(2), Framing::Native);
    let call = node.call(&far, LIMIT, |_: ReplyTo<u64>| ("call",));
    tokio::pin!(call);
    let waits = std::future::poll_fn(|task| Poll::Ready(call.as_mut().poll(task).is_pending())).await;
    assert!(waits);
    node.break_remote(&remote, "test");
    assert_eq!(remote.outbox.lock().gated_ports(), 1);
    assert!(soon(call).await.is_err());
    assert_eq!(remote.outbox.lock().gated_ports(), 0);
    node.shutdown().await;
}

#[tokio::test]
async fn a_late_kil0_fires_no_monitor_of_the_next_link() {
    let (node, remote) = node().await;
    let far = remote.node.named("port");
    let mut old = Link::attach(&node, &remote, LinkId::dialled(1));
    node.break_remote(&remote, "test");
    let _new = Link::attach(&node, &remote, LinkId::dialled(2));
    let (sender, mut fired) = mpsc::unbounded_channel();
    let guard = node.monitor(&far, move |reason| sender.send(reason).unwrap());
    old.request(&Request::Died("port".into(), Reason::text("limit", "of the old connection"))).await;
    old.end().await;
    assert_eq!(remote.outbox.lock().watched_ports(), 1);
    drop(guard);
    assert_eq!(soon(fired.recv()).await, None);
    node.shutdown().await;
}

#[tokio::test]
async fn the_code_of_a_fire_can_send_and_monitor_again() {
    let (node, remote, far) = linked().await;
    let (sender, mut fired) = mpsc::unbounded_channel();
    let (again, target) = (node.clone(), far.clone());
    let guard = node.monitor(&far, move |_| {
        again.attach_remote(
            &again.remotes().get_or_create(target.node()),
            LinkId::dialled(2),
            Framing::Native,
        );
        again.send(&target, ("back",)).unwrap();
        let guard = again.monitor(&target, |_| panic!("nothing was lost since"));
        sender.send(guard).unwrap();
    });
    queued(&remote, LinkId::dialled(1));
    node.break_remote(&remote, "test");
    let renewed = soon(fired.recv()).await.unwrap();
    assert_eq!(remote.outbox.lock().watched_ports(), 1);
    assert!(queued(&remote, LinkId::dialled(2)) > 0);
    drop((guard, renewed));
    node.shutdown().await;
}

#[tokio::test]
async fn a_port_stays_gated_until_its_fire_has_left_the_mailbox() {
    let (node, remote, far) = linked().await;
    let (sender, mut received) = mpsc::unbounded_channel();
    let port = node.port(move |_: &mut Context<'_>, (n,): (u64,)| sender.send(n).unwrap());
    let guard = node.monitor_send(&far, &port, |_| (1u64,));
    // This runtime has one thread: the port runs when the test waits.
    node.break_remote(&remote, "test");
    node.attach_remote(&remote, LinkId::dialled(2), Framing::Native);
    node.send(&far, ("lost",)).unwrap();
    assert_eq!(queued(&remote, LinkId::dialled(2)), 0);
    assert_eq!(soon(received.recv()).await, Some(1));
    node.send(&far, ("arrives",)).unwrap();
    assert!(queued(&remote, LinkId::dialled(2)) > 0);
    drop(guard);
    node.shutdown().await;
}

/// Says, when it is dropped, how many ports of a node are gated.
struct Gated(Arc<Remote>, mpsc::UnboundedSender<usize>);

impl Drop for Gated {
    fn drop(&mut self) {
        self.1.send(self.0.outbox.lock().gated_ports()).unwrap();
    }
}

#[tokio::test]
async fn a_loss_that_an_async_port_has_not_picked_gates_until_its_code_is_gone() {
    let (node, remote, far) = linked().await;
    let (sender, mut told) = mpsc::unbounded_channel();
    let gated = Gated(remote.clone(), sender);
    let port = node.port_async(async move |port: Mailbox| {
        let _dropped_last = gated;
        let mut port = port;
        let (): () = port.recv_tag("never").await;
        Ok(())
    });
    let _guard = node.monitor_send(&far, &port, |_| ("news",));
    let death = node.exited(&port);
    node.break_remote(&remote, "test");
    let number = node.local_number(&port).unwrap();
    while node.table().get(number).unwrap().mailbox().unwrap().kept() == 0 {
        tokio::task::yield_now().await;
    }
    node.kill(&port, Reason::NORMAL);
    assert_eq!(soon(told.recv()).await, Some(1));
    soon(death).await;
    assert_eq!(remote.outbox.lock().gated_ports(), 0);
    node.shutdown().await;
}

#[tokio::test]
async fn the_losses_that_an_async_port_dies_of_gate_until_its_code_is_gone() {
    let (node, remote, far) = linked().await;
    let (sender, mut told) = mpsc::unbounded_channel();
    let gated = Gated(remote.clone(), sender);
    let port = node.port_async(async move |_: Mailbox| {
        let _dropped_last = gated;
        std::future::pending().await
    });
    let other = remote.node.named("other");
    let _guards = [&far, &other].map(|far| node.monitor_kill(far, &port));
    let death = node.exited(&port);
    // The code of the port has begun when the test goes on.
    tokio::task::yield_now().await;
    node.break_remote(&remote, "test");
    assert_eq!(soon(told.recv()).await, Some(2));
    soon(death).await;
    assert_eq!(remote.outbox.lock().gated_ports(), 0);
    node.shutdown().await;
}
