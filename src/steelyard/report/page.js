// Draws the plots of the page in the colours of the reader's scheme; nothing is fetched.
(function () {
  "use strict";
  var plots = JSON.parse(document.getElementById("plots").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function colours(asDark) {
    var style = asDark ? ["#e6edf3", "#343b44"] : ["#1b1f24", "#d0d7de"];
    var axis = { gridcolor: style[1], zerolinecolor: style[1], linecolor: style[1] };
    return { ink: style[0], axis: axis };
  }
  function draw(asDark) {
    var look = colours(asDark);
    Object.keys(plots).forEach(function (name) {
      var plot = plots[name];
      var layout = Object.assign({}, plot.layout, {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: look.ink, size: 13, family: getComputedStyle(document.body).fontFamily },
        xaxis: Object.assign({}, look.axis, plot.layout.xaxis),
        yaxis: Object.assign({}, look.axis, plot.layout.yaxis)
      });
      var options = { responsive: true, displayModeBar: false };
      Plotly.react(name, plot.data, layout, options);
    });
  }
  draw(dark.matches);
  dark.addEventListener("change", function (event) { draw(event.matches); });
  window.addEventListener("beforeprint", function () { draw(false); });
  window.addEventListener("afterprint", function () { draw(dark.matches); });
})();
