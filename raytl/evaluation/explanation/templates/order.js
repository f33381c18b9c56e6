document.getElementById('order').addEventListener('change',event=>{const name=event.target.value||'place',
maps=document.getElementById('maps'),key=each=>{const text=each.dataset[name],n=parseFloat(text);return name==='label'?text:isNaN(n)?Infinity:n};
[...maps.children].sort((a,b)=>{const x=key(a),y=key(b);return x<y?-1:x>y?1:a.dataset.place-b.dataset.place})
.forEach(each=>maps.append(each))})
