// Keys, wherever the focus is, but where something is typed or a button has the key itself.

const FIELDS = "input, select, textarea";

export function listen(target, actions) {
  target.addEventListener("keydown", (event) => {
    const { key } = event;
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const field = event.target.closest?.(FIELDS);
    const isTyped = field && !["range", "checkbox"].includes(field.type);
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "z" && !isTyped) {
      event.preventDefault();
      return event.shiftKey ? actions.again() : actions.undo();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    if (key === "Escape") return actions.escape();
    if (key === "?" && !isTyped) return actions.help();
    if (!actions.ready()) return undefined;
    if (key === "Enter" && (isTyped || !event.target.closest?.("button, summary, a"))) {
      event.preventDefault();
      return actions.render();
    }
    if (field && (isTyped || key.startsWith("Arrow") || key === "Home" || key === "End")) return undefined;
    if (key === " " && event.target.closest?.("button")) return undefined;
    const does = deed(event, actions);
    if (!does) return undefined;
    event.preventDefault();
    return does();
  });
}

function deed({ key, shiftKey }, actions) {
  if (/^[0-9]$/.test(key)) return () => actions.hear(Number(key));
  const step = (direction) => () => actions.step(direction * (shiftKey ? 1 : actions.frame()));
  const keys = {
    " ": actions.play,
    ArrowLeft: step(-1),
    ArrowRight: step(1),
    Home: () => actions.seek(0),
    End: actions.end,
    n: actions.another,
    h: actions.addHit,
    s: actions.addSound,
    i: () => actions.regionFrom(actions.position()),
    o: () => actions.regionTo(actions.position()),
    r: actions.redoRegion,
    l: actions.loop,
    f: actions.fit,
    "+": () => actions.zoom(1.6),
    "=": () => actions.zoom(1.6),
    "-": () => actions.zoom(1 / 1.6),
  };
  return keys[key.length === 1 ? key.toLowerCase() : key];
}
