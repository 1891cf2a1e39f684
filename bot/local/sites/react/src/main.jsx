import { lazy, StrictMode, Suspense, useState } from "react";
import { createRoot } from "react-dom/client";
import mark from "./mark.svg";
import "./style.css";

// A chunk of its own: it loads only if the build knows its base path.
const Details = lazy(() => import("./Details.jsx"));

function App() {
  const [clicks, setClicks] = useState(0);
  return (
    <main>
      <img src={mark} alt="" width="64" height="64" />
      <h1>A push became a page</h1>
      <button onClick={() => setClicks(clicks + 1)}>clicked {clicks} times</button>
      <Suspense fallback={<p>loading…</p>}>
        <Details base={import.meta.env.BASE_URL} />
      </Suspense>
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
