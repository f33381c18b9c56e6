document.querySelectorAll('th').forEach(th=>th.addEventListener('click',()=>{const t=th.closest('table'),
i=[...th.parentNode.children].indexOf(th),up=th.dataset.up!=='1';th.dataset.up=up?'1':'0';
const key=r=>{const c=r.children[i].textContent;const n=parseFloat(c);return isNaN(n)?c:n};
[...t.tBodies[0].rows].sort((a,b)=>{const x=key(a),y=key(b);return (x>y?1:x<y?-1:0)*(up?1:-1)})
.forEach(r=>t.tBodies[0].append(r))}))
