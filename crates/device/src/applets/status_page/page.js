"use strict";
// What stands here is asked for again every two seconds; of the log, only what is new.
(function () {
  var live = document.getElementById("live"), log = document.getElementById("log");
  function take(page) {
    var main = page.querySelector("main"), lines = page.getElementById("log"), root = document.scrollingElement;
    if (!main) throw 0;
    if (!log) {
      // Nobody's selection is taken away.
      if (getSelection().isCollapsed) document.querySelector("main").replaceWith(main);
      return;
    }
    if (!lines) throw 0;
    var stays = root.scrollTop + root.clientHeight < root.scrollHeight - 40;
    if (lines.dataset.all) log.replaceChildren();
    log.append.apply(log, lines.children);
    while (log.childElementCount > 2000) log.firstElementChild.remove();
    log.dataset.next = lines.dataset.next;
    if (!stays) root.scrollTop = root.scrollHeight;
  }
  function turn() {
    if (document.hidden) return setTimeout(turn, 2000);
    fetch(log ? log.dataset.next : location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) })
      .then(function (answer) {
        if (!answer.ok) throw 0;
        return answer.text();
      })
      .then(function (text) {
        take(new DOMParser().parseFromString(text, "text/html"));
        live.textContent = "live";
        live.className = "";
      })
      .catch(function () {
        live.textContent = "no answer: this is old";
        live.className = "bad";
      })
      .then(function () { setTimeout(turn, 2000); });
  }
  if (log) document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
  setTimeout(turn, 2000);
})();
