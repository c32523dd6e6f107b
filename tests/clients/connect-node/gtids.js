// A set of GTIDs that come one by one, mostly in order.
export class GtidSet {
  #numbers = new Map(); // "uuid" or "uuid:tag" -> numbers

  // False: it was there already.
  add(gtid) {
    const at = gtid.lastIndexOf(":");
    const origin = gtid.slice(0, at);
    if (!this.#numbers.has(origin)) this.#numbers.set(origin, new Set());
    const numbers = this.#numbers.get(origin);
    const size = numbers.size;
    return numbers.add(Number(gtid.slice(at + 1))).size > size;
  }

  // As MySQL writes it: "uuid:1-5:7,…".
  toString() {
    return [...this.#numbers].map(([origin, numbers]) => {
      const intervals = [];
      for (const number of [...numbers].sort((a, b) => a - b)) {
        const last = intervals.at(-1);
        if (last && last[1] + 1 === number) last[1] = number;
        else intervals.push([number, number]);
      }
      const text = ([from, to]) => (from === to ? `${from}` : `${from}-${to}`);
      return `${origin}:${intervals.map(text).join(":")}`;
    }).join(",");
  }
}
