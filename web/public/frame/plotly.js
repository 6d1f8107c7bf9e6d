// Draws the figure that the page around this frame gives. The frame has no origin and reaches
// nothing (see FRAME_POLICY of the server), whatever is in the figure.
// Nothing of a figure is a script; should one become one after all, it has no way to call out, which
// no policy of a browser's keeps WebRTC from.
for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection", "WebTransport"]) {
  delete self[name];
}

const LIGHT = { paper: "#ffffff", ink: "#14161c", line: "#e3e5ea" };
const DARK = { paper: "#16191f", ink: "#eceef2", line: "#282d36" };

addEventListener("message", (event) => {
  if (event.source !== parent || typeof event.data?.json !== "string") return;
  const figure = JSON.parse(event.data.json);
  const { paper, ink, line } = event.data.dark ? DARK : LIGHT;
  const axis = { gridcolor: line, zerolinecolor: line };
  const layout = {
    ...figure.layout,
    autosize: true,
    width: undefined,
    height: undefined,
  };
  // A figure with the usual template has no colours of its own to keep.
  layout.paper_bgcolor ??= paper;
  layout.plot_bgcolor ??= paper;
  layout.font = { color: ink, family: "Inter, system-ui, sans-serif", ...layout.font };
  for (const name of ["xaxis", "yaxis"]) layout[name] = { ...axis, ...layout[name] };
  const config = { responsive: true, displaylogo: false };
  Plotly.newPlot("figure", figure.data ?? [], layout, config).finally(() =>
    parent.postMessage("forge:drawn", "*"),
  );
});
parent.postMessage("forge:there", "*");
