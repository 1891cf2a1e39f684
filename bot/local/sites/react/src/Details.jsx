export default function Details({ base }) {
  return (
    <p id="details">
      Built by Vite with React, served under <code>{base}</code>
    </p>
  );
}
