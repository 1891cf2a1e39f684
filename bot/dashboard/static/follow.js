// Follows a running build: fetches what the log gained, and reloads at the end,
// so that the finished page comes from the server like any other.
const log = document.getElementById("log");
let received = new TextEncoder().encode(log.textContent).length;

async function follow() {
  // While the bot is started anew, a request fails; it is back in a moment.
  const response = await fetch(`${log.dataset.log}?from=${received}`).catch(() => null);
  if (!response || !response.ok) return setTimeout(follow, 2000);
  const content = await response.arrayBuffer();
  received += content.byteLength;
  if (content.byteLength) {
    const atEnd = window.innerHeight + window.scrollY >= document.body.offsetHeight - 40;
    log.append(new TextDecoder().decode(content));
    if (atEnd) window.scrollTo(0, document.body.scrollHeight);
  }
  if (response.headers.get("X-Build-Active") === "no") return location.reload();
  const state = response.headers.get("X-Build-Status");
  document.getElementById("status").textContent = state;
  const queue = document.getElementById("queue");
  if (queue) queue.textContent = response.headers.get("X-Build-Queue") || "no longer";
  setTimeout(follow, 500);
}

if (log.dataset.active === "yes") setTimeout(follow, 300);
