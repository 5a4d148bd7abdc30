/** Measures ours and what it is compared with in the same round: first the one, then the other, and
 * the next round the other way round. Answers {ours, base}. */
export async function both(round, measureOurs, measureBase) {
  const found = {};
  const order = [
    async () => (found.ours = await measureOurs()),
    async () => (found.base = await measureBase()),
  ];
  for (const measure of round % 2 ? order.reverse() : order) await measure();
  return found;
}
