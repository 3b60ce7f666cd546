// Browsers start no worker from a page that was opened as a file; the search then works in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      inside.postMessage = data => {
        const told = new MessageEvent("message", { data })
        this.dispatchEvent(told)
        if (this.onmessage) this.onmessage(told)
      }
      inside.importScripts = (...urls) => urls.reduce((last, one) => last.then(() => this.load(inside, one)), Promise.resolve())
      this.load(inside, url).then(() => {
        this.inside = inside
        this.waiting.forEach(data => this.postMessage(data))
      })
    }
    load(inside, url) {
      return new Promise(done => {
        const script = inside.document.createElement("script")
        script.src = new URL(url, location.href).href
        script.onload = done
        inside.document.body.append(script)
      })
    }
    postMessage(data) {
      if (!this.inside) this.waiting.push(data)
      else this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data }))
    }
    terminate() {}
  }
}
