/** What the outputs say, by kind of task: as Predictor reads them in Python. */

export function readOutput(about, values, top = 3) {
  const { kind, labels } = about;
  if (kind === "classification" || kind === "ordinal") {
    const scored = labels.map((label, index) => ({ label, score: values[index] }));
    const sorted = [...scored].sort((one, other) => other.score - one.score);
    return { kind, label: sorted[0].label, score: sorted[0].score, top: sorted.slice(0, top), scores: scored };
  }
  if (kind === "multilabel") {
    const scored = labels.map((label, index) => ({ label, score: values[index] }));
    const chosen = scored.filter(({ score }, index) => score >= about.thresholds[index]);
    return { kind, labels: chosen.map(({ label }) => label), scores: scored };
  }
  if (kind === "regression") return { kind, values: Array.from(values), units: about.units };
  return { kind: "values", values: Array.from(values), shape: about.shape };
}
