// A queue as an asynchronous iterator.

export class Mailbox {
  #items = [];
  #waiting = [];
  #done = false;
  #error = null;
  #limit;
  #onReturn;

  /** Of more than `limit` items that wait the oldest are lost. */
  constructor(limit = Infinity, onReturn = () => {}) {
    this.#limit = limit;
    this.#onReturn = onReturn;
  }

  push(value) {
    if (this.#done) return;
    const waiting = this.#waiting.shift();
    if (waiting) return waiting.resolve({ value, done: false });
    this.#items.push(value);
    if (this.#items.length > this.#limit) this.#items.shift();
  }

  /** No more comes; what waits can still be read. */
  end() {
    this.#done = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve({ value: undefined, done: true });
  }

  fail(error) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting.reject(error);
    else this.#error = error;
    this.end();
  }

  next() {
    if (this.#items.length) return Promise.resolve({ value: this.#items.shift(), done: false });
    if (this.#error) {
      const error = this.#error;
      this.#error = null;
      return Promise.reject(error);
    }
    if (this.#done) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  return() {
    if (!this.#done) this.#onReturn();
    this.#items = [];
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
