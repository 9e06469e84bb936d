// What is asked of `aemp web`: one answer, or a stream of events that is asked for again when it ends.

import { eventsIn } from "./model.js";

const AGAIN = 1000;

/** An answer, or an error that says with which status it was refused. */
export async function request(token, path, options = {}) {
  const headers = { authorization: `Bearer ${token}`, ...options.headers };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const error = new Error((await response.text()).trim());
  error.refused = response.status;
  throw error;
}

/** Takes the events of a path until the signal ends it; what goes wrong is told, and a wrong token asked for. */
export async function follow(token, path, signal, { take, tell, ask }) {
  while (!signal.aborted) {
    try {
      await read(await request(token, path, { signal }), signal, take);
      if (!signal.aborted) tell("the connection has ended; connecting again");
    } catch (error) {
      if (signal.aborted) return;
      if (error.refused === 401) return ask();
      tell(error.refused ? error.message : "`aemp web` is not reached; trying again");
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
}

async function read(response, signal, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done || signal.aborted) return;
    const { events, rest } = eventsIn(left + value);
    left = rest;
    if (events.length > 0) take(events);
  }
}
