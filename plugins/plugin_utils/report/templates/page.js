(function () {
  "use strict";
  var root = document.documentElement;
  var each = function (selector, act) { Array.prototype.forEach.call(document.querySelectorAll(selector), act); };
  root.classList.add("js");

  var stored = null;
  try { stored = localStorage.getItem("runbook-theme"); } catch (error) { /* Not every browser keeps things for files. */ }
  if (stored) { root.dataset.theme = stored; }
  var dark = function () {
    return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  document.addEventListener("DOMContentLoaded", function () {
    var toggle = document.getElementById("theme");
    toggle.addEventListener("click", function () {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("runbook-theme", root.dataset.theme); } catch (error) { /* As above. */ }
    });

    document.addEventListener("click", function (event) {
      var button = event.target.closest(".copy");
      if (!button) { return; }
      var text = button.parentNode.querySelector("code").dataset.command;
      var done = function () {
        button.textContent = "Copied";
        button.classList.add("done");
        setTimeout(function () { button.textContent = "Copy"; button.classList.remove("done"); }, 1600);
      };
      var byHand = function () {
        var area = document.createElement("textarea");
        area.value = text;
        document.body.appendChild(area);
        area.select();
        if (document.execCommand("copy")) { done(); }
        area.remove();
      };
      if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done, byHand); } else { byHand(); }
    });

    var input = document.getElementById("find");
    var found = document.getElementById("found");
    var apply = function () {
      var words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      var off = {};
      each("[data-severity-toggle]", function (button) {
        off[button.dataset.severityToggle] = button.getAttribute("aria-pressed") === "false";
      });
      var shown = 0, all = 0;
      each("[data-severity]", function (item) {
        var text = item.dataset.text || (item.dataset.text = item.textContent.toLowerCase());
        var fits = !off[item.dataset.severity] && words.every(function (word) { return text.indexOf(word) >= 0; });
        item.hidden = !fits;
        all += 1;
        shown += fits ? 1 : 0;
      });
      each("[data-holder]", function (holder) {
        holder.hidden = !holder.querySelector("[data-severity]:not([hidden])");
        if (words.length && holder.matches("details") && !holder.hidden) { holder.open = true; }
      });
      found.textContent = shown === all ? "" : shown + " of " + all + " findings shown";
      each("[data-host]", function (link) { link.setAttribute("aria-pressed", String(input.value === link.dataset.host)); });
    };
    if (input) {
      input.addEventListener("input", apply);
      each("[data-severity-toggle]", function (button) {
        button.addEventListener("click", function () {
          button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") === "false"));
          apply();
        });
      });
      each("[data-host]", function (link) {
        link.setAttribute("role", "button");
        link.setAttribute("aria-pressed", "false");
        link.addEventListener("click", function (event) {
          event.preventDefault();
          input.value = input.value === link.dataset.host ? "" : link.dataset.host;
          apply();
        });
      });
    }
    window.addEventListener("beforeprint", function () { each("details.fine, details.more-changes", function (fold) { fold.open = true; }); });
  });
})();
