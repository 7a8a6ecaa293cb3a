// Records a moving canvas and a tone with MediaRecorder, as a web page would. Evaluated by test_recordings.py.
// Returns a function that makes one recording: `{mimeType, base64}`.

async ({ type, picture, pause, seconds }) => {
  const sound = new AudioContext();
  await sound.resume();
  const tone = new OscillatorNode(sound, { frequency: 440 });
  const destination = new MediaStreamAudioDestinationNode(sound, { channelCount: 1 });
  tone.connect(destination);
  tone.start();
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: 160, height: 120 });
  const context = canvas.getContext("2d");
  const drawing = setInterval(() => {
    context.fillStyle = `hsl(${performance.now() / 10} 80% 50%)`;
    context.fillRect(0, 0, 160, 120);
  }, 50);
  const tracks = [...destination.stream.getAudioTracks(), ...(picture ? canvas.captureStream(20).getTracks() : [])];
  const recorder = new MediaRecorder(new MediaStream(tracks), { mimeType: type });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const stopped = new Promise((resolve, reject) => {
    recorder.onstop = resolve;
    recorder.onerror = ({ error }) => reject(error);
  });
  const wait = (duration) => new Promise((resolve) => setTimeout(resolve, duration * 1000));
  recorder.start(200);
  await wait(seconds / 2);
  if (pause) {
    recorder.pause();
    await wait(pause);
    recorder.resume();
  }
  await wait(seconds / 2);
  recorder.stop();
  await stopped;
  clearInterval(drawing);
  await sound.close();
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return { mimeType: recorder.mimeType, base64: btoa(binary) };
};
